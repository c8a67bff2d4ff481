"""Whether the seals of a finished log hold: the truth was fixed before the audit, the report before the opening.

Three things are checked of each audit.

- The commitment stands in the transcript before the first tool call, and never changes.
- The truth and the salt that were opened give this commitment.
- The report gives the hash that was taken when it was handed in, before the truth was opened; so does every interim
  verdict, and it stood in the transcript before the report.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from inspect_ai._util.json import JsonChange
from inspect_ai.event import ModelEvent, StoreEvent, ToolEvent
from inspect_ai.log import EvalLog, EvalSample

from audit_env.catalog.seal import report_hash
from audit_env.errors import SealError
from audit_env.game.phases import Phases
from audit_env.game.record import AuditRecord
from audit_env.game.truth import open_truth


@dataclass(frozen=True)
class SealCheck:
    """What became of one audit's seals."""

    sample: str
    epoch: int
    state: Literal["holds", "broken", "unopened"]
    """unopened: the truth was never opened, so that its seal cannot be checked."""
    faults: tuple[str, ...]


def check_seals(log: EvalLog) -> list[SealCheck]:
    """Check the seals of every audit in a log.

    Args:
        log: A log with its samples.

    Returns:
        One result for each sample, in order.
    """
    return [_check(sample) for sample in log.samples or []]


def _check(sample: EvalSample) -> SealCheck:
    record = sample.store_as(AuditRecord)
    faults = tuple(_faults(sample, record))
    unopened = record.opened is None
    return SealCheck(
        sample=str(sample.id),
        epoch=sample.epoch,
        state="broken" if faults else "unopened" if unopened else "holds",
        faults=faults or (("The truth was never opened: the sample was not scored.",) if unopened else ()),
    )


def _faults(sample: EvalSample, record: AuditRecord) -> Iterator[str]:
    if record.commitment is None:
        yield "There is no commitment."
    elif not _fixed_before_the_audit(sample, record.commitment):
        yield "The commitment was not in the transcript before the first call, or changed later."
    if record.opened is not None:
        try:
            open_truth(record)
        except SealError as error:
            yield str(error)
    if record.report is not None:
        yield from _report_faults(sample, record)
    yield from _interim_faults(sample)


def _fixed_before_the_audit(sample: EvalSample, commitment: str) -> bool:
    begun = next(
        (place for place, event in enumerate(sample.events) if isinstance(event, (ToolEvent, ModelEvent))),
        len(sample.events),
    )
    written = list(_written(sample, "commitment"))
    return bool(written) and written[0][0] < begun and {value for _, value in written} == {commitment}


def _report_faults(sample: EvalSample, record: AuditRecord) -> Iterator[str]:
    report = record.report
    if report is not None and report_hash(report.model_dump(mode="json")) != record.report_sha256:
        yield "The report does not match the hash taken when it was handed in."
    hashed, opened = list(_written(sample, "report_sha256")), list(_written(sample, "opened"))
    if {value for _, value in hashed} != {record.report_sha256}:
        yield "The hash of the report is not in the transcript as it was handed in, or changed later."
    elif opened and opened[0][0] < hashed[0][0]:
        yield "The truth was opened before the report was handed in."


def _interim_faults(sample: EvalSample) -> Iterator[str]:
    after = next((at for field in ("report_sha256", "opened") for at, _ in _written(sample, field)), len(sample.events))
    for place, interim in enumerate(sample.store_as(Phases).interims):
        if report_hash(interim.report.model_dump(mode="json")) != interim.sha256:
            yield f"Interim verdict {place + 1} does not match the hash taken when it was handed in."
        written = list(_interim_hashes(sample, place))
        if not written or written[0][0] >= after or {sha256 for _, sha256 in written} != {interim.sha256}:
            yield f"Interim verdict {place + 1} was not in the transcript before the report, or changed later."


def _interim_hashes(sample: EvalSample, place: int) -> Iterator[tuple[int, object]]:
    """Where and what the transcript wrote as the hash of an interim verdict."""
    path = f"/{Phases.__name__}:interims"
    for at, change in _changes(sample):
        value = change.value
        if change.path == path:
            value = value[place] if isinstance(value, list) and len(value) > place else None
        elif change.path != f"{path}/{place}":
            continue
        if isinstance(value, dict):
            yield at, value["sha256"]


def _written(sample: EvalSample, field: str) -> Iterator[tuple[int, object]]:
    """Where and what the transcript wrote to a field of the record."""
    path = f"/{AuditRecord.__name__}:{field}"
    for place, change in _changes(sample):
        if change.path == path and change.value is not None:
            yield place, change.value


def _changes(sample: EvalSample) -> Iterator[tuple[int, JsonChange]]:
    for place, event in enumerate(sample.events):
        if isinstance(event, StoreEvent):
            yield from ((place, change) for change in event.changes)
