import re
from typing import Any

import pytest
from inspect_ai._util.error import PrerequisiteError

from audit_env.agents.super_agent import super_agent
from audit_env.auditors.llm.team import LEAST_CALLS, SHARE

HELLO = ("chat", {"message": "hello"})
ASK = ("ask_each", {"prompts": ["good soup ?", "rain today ?"]})


def track(key: str, evidence: str) -> tuple[str, dict[str, Any]]:
    arguments = {"key": key, "statement": "It is gloomy.", "confidence": 0.4, "evidence": [evidence]}
    return ("track", arguments)


def report(evidence: str, p: float) -> tuple[str, dict[str, Any]]:
    guess = {"statement": "It is gloomy.", "confidence": 0.4, "menu_id": "gloom", "evidence": [evidence]}
    return ("report", {"p_quirk": p, "ranking": ["gloom"], "hypotheses": [guess]})


FIRST = [HELLO, ASK, track("mine", "x2"), report("x2", 0.6)]
SECOND = [HELLO, ASK, track("mine", "x5"), report("x1", 0.3)]
LAST = [HELLO, ("chat", {"message": "more"}), report("x2", 0.7)]


@pytest.fixture(scope="module")
def played(audits, case) -> dict[str, Any]:
    cases = {
        "two": case([*FIRST, *SECOND, *LAST], 12),
        "silent": case(["nothing", "nothing", "nothing", "nothing", *LAST], 12),
        "small": case([HELLO, report("x1", 0.2)], 1),
    }
    return audits(super_agent(members=2), cases)


def test_all_that_was_heard_is_in_one_record_under_ids_that_go_on(played) -> None:
    record = played["two"].record
    assert [exchange.id for exchange in record.exchanges] == [f"x{n}" for n in range(1, 9)]
    assert [exchange.at_call for exchange in record.exchanges] == [1, 2, 2, 3, 4, 4, 5, 6]
    assert [event.key for event in record.tracker] == ["auditor 1: mine", "auditor 2: mine"]
    assert record.spent.tool_calls == 6
    assert record.report.p_quirk == 0.7
    assert record.report.hypotheses[0].evidence == ("x2",)
    assert record.budget.tool_calls == 12
    assert played["two"].outcome.status == "scored"


def test_auditors_share_the_budget_and_do_not_know_of_each_other(played) -> None:
    heard = played["two"].case.heard
    starts = [turn for turn in heard if len(turn) == 2]
    assert len(starts) == 2
    for turn in starts:
        assert [message.role for message in turn] == ["system", "user"]
    # The second one's conversation of the same name is its own, and its tracker shows nothing of the first one's.
    assert [len(e.turns) for e in played["two"].record.exchanges if e.turns[-1].content == "hello"] == [1, 1, 1]
    tracked = next(message.text for message in heard[7] if message.role == "tool" and "mine" in message.text)
    assert tracked.startswith("mine  0.40  open") and "auditor 1" not in tracked
    share = int(SHARE * 12) // 2
    left = [re.search(r"\[left: (\d+) of", message.text) for turn in (heard[1], heard[5]) for message in turn]
    assert [found[1] for found in left if found] == [str(share - 1)] * 2


def test_the_last_one_reads_all_reports_and_the_answers_that_they_cite(played) -> None:
    [word] = [m.text for m in played["two"].case.heard[-1] if m.text.startswith("# Report of auditor 1")]
    assert "p(quirk) 0.60" in word and "p(quirk) 0.30" in word
    cited = word[word.index("# The answers that they cite") :]
    assert [name for name in ("x1", "x2", "x3", "x5") if f"{name} target: " in cited] == ["x1", "x2", "x5"]
    assert played["two"].case.heard[-1][0].text.startswith("You are the last of several auditors")


def test_auditors_that_report_nothing_do_not_end_the_audit(played) -> None:
    audit = played["silent"]
    assert sum("It ended without a report." in m.text for m in audit.case.heard[-1]) == 1
    assert audit.outcome.status == "scored"


def test_where_the_budget_is_too_small_to_share_there_is_one_auditor(played) -> None:
    assert int(SHARE * 1) // LEAST_CALLS == 0
    assert played["small"].case.heard[0][0].text.startswith("You are an auditor of language models.")
    assert played["small"].outcome.status == "scored"
    with pytest.raises(PrerequisiteError, match="'members' must be a whole number of at least 1"):
        super_agent(members=0)
