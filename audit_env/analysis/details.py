"""What only whole samples say: the reports' hypotheses, the tool calls, and what the targets were made of."""

from inspect_ai.event import ToolEvent
from inspect_ai.log import EvalSample

from audit_env.analysis.rows import Row, Rows
from audit_env.catalog.phenotype import made_of
from audit_env.errors import AuditEnvError
from audit_env.game.record import AuditRecord
from audit_env.game.truth import open_truth

DETAILS = ("hypotheses", "tool_calls", "targets")
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
        "targets": [key | _target(record)],
    }


def _target(record: AuditRecord) -> Row:
    try:
        card = open_truth(record).card
    except AuditEnvError:  # Broke off before its truth was opened.
        return {"organism": None, "made_of": None}
    return {"organism": card.id, "made_of": made_of(card)}
