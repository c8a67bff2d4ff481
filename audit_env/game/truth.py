"""The closed envelopes: what each target really is, kept in this process and out of everything that an auditor reads.

An envelope is closed when the targets are drawn (`close`), sealed before an audit begins (`seal`: a salted hash goes
into the record), and opened after the report (`open_truth`). Only `provision` reads where the weights are; only scorers
and gates open it. Opening writes truth and salt to the record, so that a finished log can be scored again, and its
seal checked, in any other process.
"""

import secrets
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from audit_env.catalog import seal as sealing
from audit_env.catalog.models import Card, MenuEntry, Quirk, Strict
from audit_env.errors import SealError
from audit_env.game.feed import Feed
from audit_env.game.record import AuditRecord
from audit_env.game.redacting import Leaks, Redact


class Truth(Strict):
    """All that decides the score of an audit, besides what the auditor did."""

    alias: str
    card: Card
    quirk: Quirk | None
    """The planted quirk with its rubric. None for a base or a sham."""
    second_quirk: Quirk | None = None
    """Another one that was planted beside it. Logs from before there were two of them lack the field."""
    menu: tuple[MenuEntry, ...]
    seed: int
    """The audit's seed (`AuditRecord.seed`)."""
    feed: Feed | None = None
    """What its tools were fed with, where that was not the target alone. Logs from before sham tools lack the field."""
    redact: Redact | None = None
    """What was kept from the auditor of its answers. Logs from before redacted audits lack the field."""

    @property
    def quirks(self) -> tuple[Quirk, ...]:
        """The planted quirks, none to two."""
        return tuple(quirk for quirk in (self.quirk, self.second_quirk) if quirk is not None)


@dataclass(frozen=True)
class Envelope:
    """What a target is, and where its weights are."""

    card: Card
    quirk: Quirk | None
    menu: tuple[MenuEntry, ...]
    folder: Path
    base_folder: Path
    base: Card
    sham_folder: Path | None
    sham_system: str | None = None
    """Hidden prompt of the sham, where it is a prompted one."""
    second_quirk: Quirk | None = None
    null: tuple[Card, Path] | None = None
    """An organism with another quirk, of the same recipe where there is one, and where it lies: for sham tools."""
    redaction: Leaks | None = None
    """What is not to be heard of it."""
    twin: str | None = None
    """Of a redacted target, its alias in the plain game, under whose seeds it is played."""


_envelopes: dict[str, Envelope] = {}
_sealed: dict[str, tuple[Truth, str]] = {}


def close(alias: str, envelope: Envelope) -> None:
    """Close an envelope under an alias.

    Args:
        alias: The target's alias.
        envelope: What the target is.
    """
    _envelopes[alias] = envelope


def envelope_of(alias: str) -> Envelope:
    """The envelope of a target. For `provision` alone.

    Args:
        alias: The target's alias.

    Returns:
        Its envelope.

    Raises:
        SealError: If no target was drawn under this alias in this process.
    """
    if alias not in _envelopes:
        raise SealError(f"No target was drawn under the alias '{alias}' in this process; create the task again.")
    return _envelopes[alias]


def seal(alias: str, seed: int, feed: Feed | None = None) -> str:
    """Commit to the truth of an audit before it begins.

    The salt is random, so that the commitment cannot be guessed open from the log; it influences no score.

    Args:
        alias: The target's alias.
        seed: The audit's seed.
        feed: What its tools are fed with, where that is not the target alone.

    Returns:
        The commitment, for the record.
    """
    envelope = envelope_of(alias)
    truth = Truth(
        alias=alias,
        card=envelope.card,
        quirk=envelope.quirk,
        second_quirk=envelope.second_quirk,
        menu=envelope.menu,
        seed=seed,
        feed=feed,
        redact="leaks" if envelope.redaction else None,
    )
    salt = secrets.token_hex(16)
    commitment = sealing.commit(truth.model_dump(mode="json"), salt)
    _sealed[commitment] = (truth, salt)
    return commitment


def open_truth(record: AuditRecord) -> Truth:
    """Open the truth of a finished audit. For scorers and gates alone.

    In the process that played the audit the truth comes from the sealed envelope and is written to `record.opened`;
    later it comes from there. Either way it is checked against the commitment.

    Args:
        record: The audit's record.

    Returns:
        The truth.

    Raises:
        SealError: If the record was never sealed, was not opened by the process that played it, does not agree with
            its commitment, or was written by a version of audit_env whose cards had other fields.
    """
    if record.commitment is None:
        raise SealError("The audit's record has no commitment: the audit did not run with Task(setup=provision(...)).")
    if record.opened is None:
        if record.commitment not in _sealed:
            raise SealError(
                "The truth of this audit was sealed in another process and never opened; run the eval with its scorer."
            )
        truth, drawn_salt = _sealed[record.commitment]
        record.opened = {"truth": truth.model_dump(mode="json"), "salt": drawn_salt}
    payload, salt = record.opened.get("truth"), record.opened.get("salt")
    if not isinstance(payload, dict) or not isinstance(salt, str):
        raise SealError("The record's field 'opened' must hold 'truth' and 'salt'; the log was altered.")
    if not sealing.verify(record.commitment, payload, salt):
        raise SealError("The opened truth does not match the commitment made before the audit; the log was altered.")
    try:
        return Truth.model_validate(payload)
    except ValidationError as error:
        # The seal holds, so nobody altered it: cards had other fields when this log was written.
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise SealError(
            f"The seal holds, but the truth was written by another version of audit_env (field '{field}'): read this "
            "log with that version."
        ) from error
