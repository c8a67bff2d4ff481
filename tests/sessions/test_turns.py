from typing import Any

import pytest
from inspect_ai.model import ChatMessageAssistant, ChatMessageTool, ChatMessageUser
from inspect_ai.tool import ToolCall
from inspect_ai.util import Store

from audit_env.auditors.llm.notebook import Note, Notebook
from audit_env.game.record import AuditRecord, Budget, Hypothesis, TrackerEvent
from audit_env.sessions.desk import Desk
from audit_env.sessions.turns import Drafts, Left, take_turn
from tests.sessions.table import CTRL_C, END, Table
from tests.sessions.test_fields import info

TOOLS = {name: info(name) for name in ("chat", "ask_each", "track", "report")}


def desk() -> Desk:
    record = AuditRecord(
        store=Store(), menu=("gloom", "none"), budget=Budget(tool_calls=9, target_tokens=9, auditor_tokens=9)
    )
    hypothesis = Hypothesis(statement="It is gloomy.", confidence=0.7)
    record.tracker = [TrackerEvent(key="g", hypothesis=hypothesis, at_call=1, target_tokens=1, seconds=1.0)]
    notebook = Notebook(store=Store())
    notebook.notes = [Note(text="x1 is odd", at_call=1)]
    call = ToolCall(id="1", function="chat", arguments={"message": "hello"})
    messages = [
        ChatMessageUser(content="The brief."),
        ChatMessageAssistant(content="", tool_calls=[call]),
        ChatMessageTool(content="x1: rain again\n[left: 8]", tool_call_id="1", function="chat"),
    ]
    return Desk(messages, TOOLS, record, notebook)


def turn(*typed: object, drafts: dict[str, Any] | None = None, closed: str | None = None) -> tuple[Any, Table]:
    kept = {} if drafts is None else drafts
    table = Table(*typed)
    taken = take_turn(
        table.terminal,
        desk(),
        Drafts(get=lambda tool: kept.get(tool, {}), keep=kept.__setitem__),
        lambda: "played 0:00",
        lambda tool: closed if tool != "report" else None,
    )
    return taken, table


@pytest.mark.parametrize(
    ("line", "taken"),
    [
        ("chat what is soup ?", ("chat", {"message": "what is soup ?"})),
        ("ask_each what is soup ?", ("ask_each", {"prompts": ["what is soup ?"]})),
        ('chat {"message": "hi", "conversation": "c2"}', ("chat", {"message": "hi", "conversation": "c2"})),
    ],
)
def test_a_tool_is_called_in_one_line(line: str, taken: object) -> None:
    assert turn(line)[0] == taken


def test_a_form_asks_for_each_argument() -> None:
    taken, table = turn("ask_each", "soup ?", "tea ?", "", "", "2")
    assert taken == ("ask_each", {"prompts": ["soup ?", "tea ?"], "samples": 2})
    assert "  samples (whole number; Enter for 1): Answers to draw for each prompt" in table.text


def test_a_report_with_records_is_confirmed() -> None:
    hypotheses = ["It is gloomy.", "0.8", "always", "gloom", "x1", "", ""]
    taken, table = turn("report", "high", "0.9", "gloom", "none", "", *hypotheses, "", "y")
    assert taken[1] == {
        "p_quirk": 0.9,
        "ranking": ["gloom", "none"],
        "hypotheses": [
            {
                "statement": "It is gloomy.",
                "confidence": 0.8,
                "trigger": "always",
                "menu_id": "gloom",
                "evidence": ["x1"],
            }
        ],
    }
    assert "'high' is not a number" in table.text and table.prompts[-1].startswith("It ends the audit.")


def test_what_was_typed_is_kept_when_one_goes_back() -> None:
    drafts: dict[str, Any] = {}
    first = ("report", "0.9", "gloom", "", CTRL_C)
    taken, table = turn(
        *first, "report", "", "", "", "", "", "report", "-", "0.4", "-", "none", "", "", "", "y", drafts=drafts
    )
    assert taken == ("report", {"p_quirk": 0.4, "ranking": ["none"]})
    assert "Your report:\n  p_quirk: 0.9\n  ranking: gloom" in table.text


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("help", "You play by calling tools."),
        ("help track", "Write down a hypothesis"),
        ("help trak", "There is no tool 'trak'."),
        ("tools", "chat: Say one thing to the target and read its answer."),
        ("brief", "The brief."),
        ("history", "1. chat message: hello"),
        ("history 1", "x1: rain again"),
        ("history 7", "There is no turn '7': there are 1."),
        ("find RAIN", "1: x1: rain again"),
        ("find sun", "Nothing found."),
        ("tracker", "g  0.70  open  It is gloomy."),
        ("notes", "at call 1: x1 is odd"),
        ("left", "[9 calls and 9 target tokens left; played 0:00]"),
        ("left", "[left: 9 of 9 calls, 9 of 9 target tokens]"),
        ("chta hello", "There is no tool or command 'chta'; did you mean 'chat'?"),
        ("track it is gloomy", "This tool needs more than one text. Type  track  alone for a form."),
        ("chat {bad", "This is not JSON"),
    ],
)
def test_things_are_looked_up_without_a_turn(line: str, told: str) -> None:
    taken, table = turn(line, *[""] * line.startswith("help"), "chat hi")
    assert taken == ("chat", {"message": "hi"})
    assert told in table.text


@pytest.mark.parametrize("way", ["leave", CTRL_C, END])
def test_one_leaves_at_the_prompt(way: object) -> None:
    with pytest.raises(Left):
        turn(way)


def test_when_time_is_over_only_the_report_is_left() -> None:
    taken, table = turn("chat hi", "report", "0.1", "none", "", "", "", "y", closed="Time is over.")
    assert taken[0] == "report" and "Time is over." in table.text
