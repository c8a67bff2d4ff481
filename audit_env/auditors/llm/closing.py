"""The end of an audit: a report that validates, the valid part of the best that was handed in, or none."""

from collections.abc import Iterator, Mapping
from typing import Any

from inspect_ai.log import transcript
from inspect_ai.model import ChatMessage, ChatMessageAssistant

from audit_env.auditors.llm.asking import object_in
from audit_env.auditors.llm.prompts import Prompts
from audit_env.auditors.llm.verifying import untested
from audit_env.game.record import AuditRecord, Report, Spent
from audit_env.tools.accounting import budget_of
from audit_env.tools.reporting import hand_in, valid_part

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
        return "\n\n".join(self._prompts.text(name, **complaints[name]) for name in new) or None


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


def close(record: AuditRecord, messages: list[ChatMessage]) -> None:
    """End an audit whose auditor has stopped: where no report was taken, take the valid part of the best.

    Args:
        record: The audit's record.
        messages: The whole conversation.
    """
    if record.report is not None:
        return
    found = [report for given in _handed_in(messages) if (report := valid_part(record, record.answers, given))]
    if found:
        # The last of those that say most.
        best = max(enumerate(found), key=lambda one: (len(one[1].hypotheses), one[0]))[1]
        hand_in(record, best)
        record.report_mended = True
    transcript().info({"report": "its valid part was taken" if found else "none given"}, source="audit_env")


def _handed_in(messages: list[ChatMessage]) -> Iterator[Mapping[str, Any]]:
    """What an auditor gave as its report, as a call or, where it never called a tool for it, in words."""
    for message in messages:
        if not isinstance(message, ChatMessageAssistant):
            continue
        for call in message.tool_calls or []:
            if call.function == "report":
                yield call.arguments
        if not message.tool_calls and isinstance(said := object_in(message.text), dict):
            yield said
