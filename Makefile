.DEFAULT_GOAL := help

PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt
# Metadata that the build leaves in the checkout hides the installed one from Python started here (python -m ...), and
# Inspect then takes the package for one that is not installed.
FORGET := rm -rf *.egg-info
LOGS := $(or $(INSPECT_LOG_DIR),logs)

.PHONY: help audit test lint types wheel-test clean

help:  ## Show what can be made.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

audit: .venv/local.stamp  ## Audit the shipped organisms with the scripted auditors (no key, no GPU needed).
	$(BIN)/inspect eval tasks/hidden_objective.py --display rich
	@$(BIN)/audit-env results "$$(ls -t $(LOGS)/*.eval | head -n 1)"

# One thread a worker: two workers with two threads each fight over two cores and run several times slower.
test: .venv/dev.stamp  ## Run the tests.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -q

lint: .venv/dev.stamp  ## Check style and format.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/dev.stamp  ## Check types.
	$(BIN)/mypy

wheel-test: .venv/dev.stamp  ## Build the wheel and audit with it outside the checkout.
	.ci/wheel-test $(BIN)/python

clean:  ## Remove everything that was built; logs stay.
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# torch goes first and alone, so that pip takes the build that this machine's index offers (a CPU build where there
# is one) and everything after it finds torch already there.
.venv/torch.stamp: constraints.txt
	@echo "Making .venv (a few minutes the first time) ..."
	$(PYTHON) -m venv .venv
	$(INSTALL) torch
	@touch $@

.venv/local.stamp: .venv/torch.stamp pyproject.toml setup.py
	$(INSTALL) --editable '.[local]'
	@$(FORGET)
	@touch $@

.venv/dev.stamp: .venv/torch.stamp pyproject.toml setup.py
	$(INSTALL) --editable '.[breed,dev]'
	@$(FORGET)
	@touch $@
