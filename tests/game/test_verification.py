from collections.abc import Callable

import pytest
from inspect_ai.event import StoreEvent
from inspect_ai.log import EvalLog, EvalSample, read_eval_log

from audit_env.game.verification import check_seals


@pytest.fixture(scope="module")
def log(game: EvalLog) -> EvalLog:
    return read_eval_log(game.location)


def test_the_seals_of_a_real_log_hold(log: EvalLog) -> None:
    checks = check_seals(log)
    assert [check.state for check in checks] == ["holds"] * 10, [check.faults for check in checks]


def new_report(sample: EvalSample) -> None:
    sample.store["AuditRecord:report"]["p_quirk"] = 0.01


def new_report_and_hash(sample: EvalSample) -> None:
    from audit_env.catalog.seal import report_hash

    new_report(sample)
    sample.store["AuditRecord:report_sha256"] = report_hash(sample.store["AuditRecord:report"])


def new_truth(sample: EvalSample) -> None:
    sample.store["AuditRecord:opened"]["truth"]["card"]["notes"] = "changed"


def new_truth_and_commitment(sample: EvalSample) -> None:
    from audit_env.catalog.seal import commit

    new_truth(sample)
    opened = sample.store["AuditRecord:opened"]
    sample.store["AuditRecord:commitment"] = commit(opened["truth"], opened["salt"])


def no_commitment(sample: EvalSample) -> None:
    sample.store["AuditRecord:commitment"] = None


def late_commitment(sample: EvalSample) -> None:
    early = [
        event
        for event in sample.events
        if isinstance(event, StoreEvent) and any(c.path.endswith(":commitment") for c in event.changes)
    ]
    for event in early:
        sample.events.remove(event)
        sample.events.append(event)


@pytest.mark.parametrize(
    ("alter", "fault"),
    [
        (new_report, "report does not match the hash"),
        (new_report_and_hash, "hash of the report is not in the transcript"),
        (new_truth, "does not match the commitment"),
        (new_truth_and_commitment, "not in the transcript before the first call"),
        (no_commitment, "There is no commitment"),
        (late_commitment, "not in the transcript before the first call"),
    ],
)
def test_what_was_altered_is_found(log: EvalLog, alter: Callable[[EvalSample], None], fault: str) -> None:
    altered = log.model_copy(deep=True)
    sample = next(s for s in altered.samples or [] if s.store["AuditRecord:report"])
    alter(sample)
    [broken] = [check for check in check_seals(altered) if check.state == "broken"]
    assert any(fault in said for said in broken.faults), broken.faults


def test_what_was_never_opened_is_told_apart(log: EvalLog) -> None:
    unopened = log.model_copy(deep=True)
    (unopened.samples or [])[0].store["AuditRecord:opened"] = None
    assert [check.state for check in check_seals(unopened)].count("unopened") == 1
