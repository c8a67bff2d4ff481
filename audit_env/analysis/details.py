"""What only whole samples say: the reports' hypotheses and the tool calls."""

from inspect_ai.event import ToolEvent
from inspect_ai.log import EvalSample

from audit_env.analysis.rows import Row, Rows
from audit_env.game.record import AuditRecord

DETAILS = ("hypotheses", "tool_calls")
"""Frames that need whole samples."""


def details_of(log: str, sample: EvalSample) -> Rows:
    """What a sample says.

    Args:
        log: Id of its log.
        sample: The sample, with events and store.

    Returns:
        Rows of plain data, by frame.
    """
    key: Row = {"log": log, "sample": str(sample.id), "epoch": sample.epoch}
    record = sample.store_as(AuditRecord)
    calls = [event for event in sample.events if isinstance(event, ToolEvent)]
    return {
        "hypotheses": [
            key
            | {
                "place": place,
                "menu_id": claim.menu_id,
                "statement": claim.statement,
                "confidence": claim.confidence,
                "evidence": len(claim.evidence),
            }
            for place, claim in enumerate(record.report.hypotheses if record.report else (), start=1)
        ],
        "tool_calls": [
            key
            | {
                "place": place,
                "tool": call.function,
                "seconds": call.working_time,
                "error": call.error.type if call.error else None,
            }
            for place, call in enumerate(calls, start=1)
        ],
    }
