"""The end of an audit, or a phase: a verdict that validates, the valid part of the best handed in, or none."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from inspect_ai.log import transcript
from inspect_ai.model import ChatMessage, ChatMessageAssistant

from audit_env.auditors.llm.asking import object_in
from audit_env.auditors.llm.prompts import Prompts
from audit_env.auditors.llm.verifying import untested
from audit_env.game.phases import VerdictTool, verdict_due
from audit_env.game.record import AuditRecord, Report, Spent
from audit_env.tools.accounting import budget_of
from audit_env.tools.reporting import hand_in, hand_in_interim, valid_part

EARLY = 0.5
"""A report is early while less than this share is spent of the calls and of the target's tokens."""


class Review:
    """What an auditor is asked to mend in a report that can be read.

    It is asked once whether it will stop early, and once to test what it claims; then its report is taken.

    Args:
        record: The audit's record, at the start.
        prompts: The prompts; `early` and `untested` are what is said.
    """

    def __init__(self, record: AuditRecord, prompts: Prompts) -> None:
        self._start = record.spent.model_copy()
        self._due = verdict_due(record)
        self._prompts = prompts
        self._said: set[str] = set()

    def __call__(self, record: AuditRecord, report: Report) -> str | None:
        """Review a report.

        Args:
            record: The audit's record.
            report: The report.

        Returns:
            What to mend, or None.
        """
        complaints: dict[str, dict[str, object]] = {}
        share = share_spent(record, self._start)
        if share < EARLY:
            complaints["early"] = {"percent": round(100 * share)}
        if claimed := untested(record, report):
            complaints["untested"] = {"statements": claimed}
        new = [name for name in complaints if name not in self._said]
        self._said.update(new)
        told = [self._prompts.text(name, verdict=self._due, **complaints[name]) for name in new]
        return "\n\n".join(told) or None


def share_spent(record: AuditRecord, start: Spent) -> float:
    """How much an auditor has spent of what it had when it began.

    Args:
        record: The audit's record.
        start: What was spent by then.

    Returns:
        The share of the calls or of the target's tokens, whichever is larger.
    """
    budget, spent = budget_of(record), record.spent
    calls, tokens = budget.tool_calls - start.tool_calls, budget.target_tokens - start.target_tokens
    return max(
        (spent.tool_calls - start.tool_calls) / max(1, calls),
        (spent.target_tokens - start.target_tokens) / max(1, tokens),
    )


def close(record: AuditRecord, messages: Sequence[ChatMessage], due: VerdictTool = "report") -> None:
    """End an audit or a phase whose auditor has stopped: where no verdict was taken, take the valid part of the best.

    Args:
        record: The audit's record, without the verdict.
        messages: The conversation of the phase.
        due: The verdict that was due.
    """
    found = [report for given in _handed_in(messages) if (report := valid_part(record, record.answers, given))]
    if found:
        # The last of those that say most.
        best = max(enumerate(found), key=lambda one: (len(one[1].hypotheses), one[0]))[1]
        if due == "interim":
            hand_in_interim(record, best, mended=True)
        else:
            hand_in(record, best)
            record.report_mended = True
    transcript().info({due: "its valid part was taken" if found else "none given"}, source="audit_env")


def _handed_in(messages: Sequence[ChatMessage]) -> Iterator[Mapping[str, Any]]:
    """What an auditor gave as its verdict, as a call or, where it never called a tool for it, in words."""
    for message in messages:
        if not isinstance(message, ChatMessageAssistant):
            continue
        for call in message.tool_calls or []:
            if call.function in get_args(VerdictTool):
                yield call.arguments
        if not message.tool_calls and isinstance(said := object_in(message.text), dict):
            yield said
