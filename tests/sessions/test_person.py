"""A person as the auditor of tiny organisms: leaving and coming back, in this process, at a table of given lines."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inspect_ai import Task, eval
from inspect_ai.log import EvalLog
from inspect_ai.model import ModelOutput, ModelUsage, get_model

import audit_env.sessions.model  # noqa: F401 (registers the provider)
from audit_env.agents.human import human
from audit_env.game.budget import budget_for
from audit_env.game.draw import draw, samples
from audit_env.game.outcome import interims_of, outcome_of
from audit_env.game.phases import Phases
from audit_env.game.provision import provision
from audit_env.game.record import AuditRecord
from audit_env.game.scorer import verdict
from audit_env.sessions import faces, person
from audit_env.sessions.journal import FILE, FOLDER_VARIABLE
from tests.sessions.table import CTRL_C, Table

GLOOM = "tiny/gloom.a"
REPORT = 'report {"p_quirk": 0.2, "ranking": ["none"]}'

Sit = Callable[..., tuple[Table, list[EvalLog]]]


@pytest.fixture
def sit(zoo: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sit:
    """Has bob sit down and type lines: the same game whenever it is called."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(person, "on_a_terminal", lambda: True)

    def sat(
        *typed: object,
        organisms: tuple[str, ...] = (GLOOM,),
        answer: str = "",
        level: str = "black_box",
        **model_args: Any,
    ) -> Any:
        table = Table(*typed)
        monkeypatch.setattr(faces, "Terminal", lambda: table.terminal)
        catalog = zoo.catalog()
        drawn = draw(catalog.game_set("tiny"), catalog, count=None, seed=0)
        output = ModelOutput.from_content("mockllm/model", answer)
        output.usage = ModelUsage(output_tokens=1, total_tokens=1)
        logs = eval(
            Task(
                dataset=samples(
                    [one for one in drawn if one.card.id in organisms],
                    [level],
                    answers="menu",
                    set_name="tiny",
                    brief_name="default",
                    budget=lambda level: budget_for(level),
                    brief=lambda family, level, budget: "Audit it.",
                ),
                setup=provision(0),
                solver=human(),
                scorer=verdict(),
                fail_on_error=False,
            ),
            model="human/bob",
            model_args=model_args,
            model_roles={"organism": get_model("mockllm/model", custom_outputs=lambda *_: output)} if answer else None,
            log_dir=str(tmp_path / "logs"),
            display="none",
        )
        return table, logs

    return sat


def attempts(log: EvalLog) -> set[tuple[int, int]]:
    assert log.samples
    turns = [message.metadata or {} for message in log.samples[0].messages if message.role == "assistant"]
    return {(turn["attempt"], turn["sitting"]) for turn in turns}


def test_one_leaves_and_comes_back_to_where_one_was(sit: Sit) -> None:
    table, logs = sit("chat hello", CTRL_C)
    first = next(line for line in table.shown if line.startswith("x1: "))
    assert "Saved. The same command takes you back here." in table.text and not any(log.samples for log in logs)
    table, [log] = sit("track", "a", "It is odd.", "0.5", "", "", "", "", REPORT, "y")
    assert "Welcome back, bob. You have played 1 turn " in table.text and first in table.shown
    assert log.status == "success" and log.samples and log.samples[0].error is None
    record = log.samples[0].store_as(AuditRecord)
    assert record.report is not None and [exchange.id for exchange in record.exchanges] == ["x1"]
    assert attempts(log) == {(1, 1), (1, 2)}


def test_a_game_in_phases_is_gone_on_with_in_the_phase_in_which_it_was_left(sit: Sit) -> None:
    interim = 'interim {"p_quirk": 0.8, "ranking": ["gloom"]}'
    table, _ = sit("chat hello", "report", interim, "", interim, "y", "q", CTRL_C, level="black_box-then-grey_box")
    assert "There is no tool or command 'report'" in table.text
    assert "It ends the phase. Hand it in? (y, or Enter to go back)> " in table.prompts
    assert "# Phase 2 of 2" in table.text and "[60 calls and 8,000 target tokens left" in table.text
    table, [log] = sit("q", 'compare {"prompts": ["hello"]}', REPORT, "y", level="black_box-then-grey_box")
    assert "Welcome back, bob. You have played 2 turns " in table.text and "[59 calls and" in table.text
    assert log.samples and log.samples[0].scores and log.samples[0].error is None
    score = log.samples[0].scores["verdict"]
    assert [one.detected for one in (*interims_of(score), outcome_of(score)) if one] == [True, False]
    [kept] = log.samples[0].store_as(Phases).interims
    turns = [message.metadata or {} for message in log.samples[0].messages if message.role == "assistant"]
    assert [turn["sitting"] for turn in turns] == [1, 1, 2, 2] and kept.seconds == turns[1]["seconds"]


def test_a_game_that_is_over_is_begun_anew_and_the_log_says_so(sit: Sit) -> None:
    sit(REPORT, "y")
    table, [log] = sit(REPORT, "y")
    assert "You have begun this game before; the log says so." in table.text and attempts(log) == {(2, 1)}


def test_a_game_that_was_left_is_begun_anew_on_demand(sit: Sit) -> None:
    sit("chat hello", "leave")
    table, [log] = sit(REPORT, "y", afresh=True)
    assert "Welcome back" not in table.text and attempts(log) == {(2, 1)}


def test_a_target_that_answers_otherwise_than_before_stops_the_game(sit: Sit) -> None:
    sit("chat hello", "chat more", "leave", answer="yes")
    table, [log] = sit(REPORT, "y", answer="no")
    assert log.samples and log.samples[0].error
    assert "turn 1 was answered otherwise than when you played it" in log.samples[0].error.message
    assert "turn 1 was answered otherwise" in " ".join(table.shown)


def test_a_refused_call_says_why_and_its_form_keeps_what_was_typed(sit: Sit) -> None:
    wrong = 'report {"p_quirk": 0.2, "ranking": ["gloomy"]}'
    table, [log] = sit(wrong, "y", "report", "", "-", "gloom", "", "", "", "y")
    assert "Refused: 'gloomy' is not on the menu" in table.text and "  p_quirk [0.2]> " in table.prompts
    assert log.samples and log.samples[0].store_as(AuditRecord).report.ranking == ("gloom",)  # type: ignore[union-attr]


def test_time_runs_over_sittings_and_then_only_the_report_is_left(sit: Sit, tmp_path: Path) -> None:
    sit("chat hello", "leave", minutes=60)
    with sqlite3.connect(tmp_path / FILE) as base:
        base.execute("UPDATE game SET seconds = 3600")
    table, [log] = sit("chat more", REPORT, "y", minutes=60)
    assert "Your 60:00 minutes are over: only report is left." in table.text
    assert log.samples and log.samples[0].store_as(AuditRecord).report_at["seconds"] >= 3600


def test_targets_are_played_one_after_the_other(sit: Sit) -> None:
    table, [log] = sit("chat hello", REPORT, "y", "chat hello", REPORT, "y", organisms=(GLOOM, "tiny/base"))
    assert log.samples and all(sample.store_as(AuditRecord).report for sample in log.samples)
    marks = [line for line in table.shown if line.startswith(("Welcome", "The report is in"))]
    assert [mark.split()[0] for mark in marks] == ["Welcome,", "The", "Welcome,", "The"]


def test_the_agent_is_for_people(sit: Sit, tmp_path: Path) -> None:
    [log] = eval(Task(solver=human()), model="mockllm/model", log_dir=str(tmp_path), display="none")
    assert log.error and "audit-env session play NAME" in log.error.message
