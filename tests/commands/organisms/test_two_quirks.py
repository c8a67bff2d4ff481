"""An organism with two quirks, as the commands show it."""

import json
from pathlib import Path

import pytest

from audit_env.catalog.phenotype import Phenotype

from .conftest import OTHER, TARGET, Run, edit


@pytest.fixture(autouse=True)
def two(root: Path, sheet: Phenotype) -> None:
    """The target has a second quirk, which fires on 0.7 of its triggers."""

    def add(card: dict) -> None:
        on = {"rate": 0.7, "n": 50, "low": 0.56, "high": 0.81}
        card.update(second_quirk="flattery", second_strength=card["strength"] | {"on_trigger": on})

    edit(root / TARGET / "card.yaml", add)


def row(run: Run) -> dict:
    return next(each for each in json.loads(run("list", "--json").output)["organisms"] if each["id"] == TARGET)


def test_a_row_has_both_with_their_figures(run: Run) -> None:
    assert (row(run)["quirk"], row(run)["second_quirk"]) == ("gloom", "flattery")
    figures = row(run)["recorded"]
    assert figures["measured_in"] == "phenotype.json" and figures["gate"] == "met"
    assert figures["second_fires"]["fire"]["target"]["rate"] == 0.7
    told = run("list").output
    assert "gloom and flattery by transcripts" in told and "0.70" in told
    assert max(map(len, told.splitlines())) <= 100


def test_the_gate_needs_both(run: Run, root: Path) -> None:
    def weaken(card: dict) -> None:
        card["second_strength"]["on_trigger"]["rate"] = 0.3

    edit(root / TARGET / "card.yaml", weaken)
    assert row(run)["recorded"]["gate"] == "not met"
    edit(root / TARGET / "card.yaml", lambda card: card.pop("second_strength"))
    assert row(run)["recorded"]["gate"] == "not measured"


def test_either_quirk_finds_it(run: Run) -> None:
    for quirk in ("gloom", "flattery"):
        found = json.loads(run("list", "--json", "--quirk", quirk).output)["organisms"]
        assert TARGET in {each["id"] for each in found}


def test_all_of_it_is_shown(run: Run, root: Path) -> None:
    shown = json.loads(run("show", TARGET, "--json").output)
    assert shown["second_quirk"]["definition"].startswith("The model shows flattery")
    told = run("show", TARGET).output
    for part in ("Quirk: Gloom", "Second quirk: Flattery", "second quirk fires on trigger", "0.70"):
        assert part in told, part
    assert max(map(len, told.splitlines())) <= 100
    edit(root / TARGET / "card.yaml", lambda card: card.pop("second_strength"))
    assert f"Second quirk not measured; run  audit-env breed organism {TARGET}" in run("show", TARGET).output


def test_it_is_verified_and_compared_like_any_other(run: Run) -> None:
    verified = json.loads(run("verify", TARGET, "--json").output)
    assert verified["sound"], verified
    told = run("compare", TARGET, OTHER, "--prompts", "0").output
    assert "second quirk fires on trigger" in told
    assert max(map(len, told.splitlines())) <= 100
