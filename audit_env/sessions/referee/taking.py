"""Taking in what was played: the log with its reports, before anything is opened."""

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

from inspect_ai.log import EvalLog, EvalSample, read_eval_log

from audit_env.catalog.reading import shown
from audit_env.errors import SealError
from audit_env.game.audits import auditor_of
from audit_env.game.record import AuditRecord
from audit_env.game.truth import open_truth
from audit_env.game.verification import check_seals
from audit_env.sessions.errors import SessionError
from audit_env.sessions.referee.ledger import Ledger
from audit_env.sessions.referee.opening import brief_hash
from audit_env.sessions.referee.payloads import truth_payload
from audit_env.sessions.referee.state import LOG, HandedIn, Sealed, Session, Terms, changing, sealed_in

UNREADABLE = (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error)
"""What reading a file raises that is no log, or one whose writing was killed."""


@dataclass(frozen=True)
class Taken:
    """What came in with a log."""

    handed_in: list[HandedIn]
    receipt: str
    """Hash of the ledger's last entry: with it anybody can show later that these reports were in."""


def take(ledger: Ledger, path: Path, team: str | None = None) -> Taken:
    """Take in a log: of a person who played in the session, or of an agent on the same targets.

    Args:
        ledger: The file of the session.
        path: The log.
        team: Whose it is; a log that was played in the session names its team.

    Returns:
        What came in.

    Raises:
        SessionError: If the log cannot be read, holds no audit of the session that is still to come in, or one that was
            not played by its terms.
    """
    try:
        content = path.read_bytes()
        log = log_of(content)
    except UNREADABLE as error:
        raise SessionError(f"'{shown(path)}' cannot be read ({error}): give the file of an Inspect log.") from error
    digest = hashlib.sha256(content).hexdigest()
    broken = [fault for check in check_seals(log) if check.state == "broken" for fault in check.faults]
    if broken:
        raise SessionError(f"'{shown(path)}' was changed after the audit and is not taken: {broken[0]}")
    with changing(ledger) as (page, session):
        sealed = sealed_in(page)
        found = list(_found(log, digest, session, sealed, team))
        new = [one for one in found if session.came_in(one.team, one.sample) is None]
        if not new:
            why = "all its audits came in before" if found else "none of its audits is of this session"
            raise SessionError(f"'{shown(path)}' brings nothing: {why}. Give a log on its targets and levels.")
        page.keep(LOG + digest, content)
        entries = [page.write("handed_in", one.model_dump(mode="json")) for one in new]
    return Taken(new, entries[-1].sha256)


def log_of(content: bytes) -> EvalLog:
    """Read a log from memory.

    Args:
        content: The content of its file.

    Returns:
        The log with its samples.
    """
    return read_eval_log(BytesIO(content), format="eval" if content.startswith(b"PK") else "json")


def access_of(sample: EvalSample) -> str:
    """The level of access of an audit; where it is played in phases, the name that joins them.

    Args:
        sample: The audit.

    Returns:
        As the terms of a session name it.
    """
    return str((sample.metadata or {}).get("affordance", ""))


def _found(log: EvalLog, digest: str, session: Session, sealed: Sealed, team: str | None) -> Iterator[HandedIn]:
    here = (log.eval.metadata or {}).get("session") == session.terms.session
    for sample in log.samples or []:
        record = sample.store_as(AuditRecord)
        placed = _played_here(log, sample, record, session) if here else _played_elsewhere(record, sealed, team)
        if placed is None or access_of(sample) not in session.terms.affordances or sample.epoch > 1:
            continue
        whose, alias = placed
        session.must_have(whose)
        if team not in (None, whose):
            raise SessionError(f"This log is of team '{whose}', not of '{team}': leave --team out.")
        _must_keep_to(session.terms, log, sample, record)
        yield HandedIn(
            team=whose,
            sample=f"{alias}.{access_of(sample)}",
            player=auditor_of(log),
            report=record.report.model_dump(mode="json") if record.report else None,
            report_sha256=record.report_sha256,
            seconds=record.report_at.get("seconds"),
            log=digest,
            logged=str(sample.id),
            commitment=record.commitment,
        )


def _played_here(log: EvalLog, sample: EvalSample, record: AuditRecord, session: Session) -> tuple[str, str] | None:
    """Team and alias of an audit that was played in the session; None where it was left and may go on."""
    begun = next((one for one in session.begun if one.commitment == record.commitment), None)
    if begun is None or begun.sample != sample.id:
        raise SessionError("The session knows nothing of this log, which names it: give the one that was played.")
    return (begun.team, record.alias) if record.report else None


def _played_elsewhere(record: AuditRecord, sealed: Sealed, team: str | None) -> tuple[str, str] | None:
    """Team and alias of an audit by somebody who met the same target in a game of their own."""
    if team is None:
        raise SessionError("This log was not played in the session: say whose it is with  --team.")
    try:
        truth = open_truth(record)
    except SealError:
        return None
    alias = next((alias for alias, organism in sealed.drawn.teams[team].order if organism == truth.card.id), None)
    if alias is None or truth_payload(truth) != sealed.truth_of(team, alias):
        return None
    return team, alias


def _must_keep_to(terms: Terms, log: EvalLog, sample: EvalSample, record: AuditRecord) -> None:
    other = [
        what
        for what, same in {
            "version of the rules": log.eval.task_version == terms.protocol and record.protocol == "audit_env",
            "kind of answers": record.answers == terms.answers,
            "brief or budget": brief_hash(sample.input) in terms.briefs,
        }.items()
        if not same
    ]
    if other:
        raise SessionError(f"Audit {sample.id} had another {other[0]} than this session: play it by its terms.")
