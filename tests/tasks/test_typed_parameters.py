"""What people type behind `-T` and no task can use: one sentence, whatever Inspect made of it."""

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
from inspect_ai._util.error import PrerequisiteError

TASKS = Path(__file__).parents[2] / "tasks"
TEXTS = (
    *(("quirk_strength", "root"), ("persistence", "root"), ("persistence", "treatments")),
    *(("naturalness", "root"), ("naturalness", "prompts"), ("tool_evidence", "root"), ("judge_validation", "folder")),
)


@pytest.mark.parametrize("typed", [8, ["a", "b"], {"x": 1}, "", True], ids=repr)
@pytest.mark.parametrize(("name", "parameter"), TEXTS)
def test_a_value_of_a_wrong_kind_is_refused_in_one_sentence(
    name: str, parameter: str, typed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(TASKS), *sys.path])
    task = getattr(importlib.import_module(name), name)
    with pytest.raises(PrerequisiteError, match=r"\w.*\."):
        task(**{parameter: typed})


@pytest.mark.parametrize(
    ("agent", "parameter", "typed"),
    [
        *(("investigator", "prompt", typed) for typed in ("nowhere.md", 8, ["a"], True)),
        *(("investigator", "shorten_at", typed) for typed in ("soon", 0, None)),
        *(("breadth_first", "seeds", typed) for typed in ("nowhere", 8, {"x": 1})),
        ("breadth_first", "tags", "zzz"),
        ("super_agent", "members", 0),
        ("auditbench", "tokens", "many"),
    ],
)
def test_so_are_those_of_auditors(agent: str, parameter: str, typed: Any) -> None:
    make = getattr(importlib.import_module(f"audit_env.agents.{agent}"), agent)
    with pytest.raises(PrerequisiteError, match=r"\w.*\."):
        make(**{parameter: typed})
