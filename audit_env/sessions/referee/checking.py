"""Whether a session is what it was: nothing changed, left out or put in its place since it was opened.

What is checked rests on the ledger's chain, on the commitments that it begins with, and on the logs. Somebody who
rewrites all of these consistently is found out by what others hold: the notice that was posted at the opening, the
players' own logs, and their receipts.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from inspect_ai.log import EvalLog, EvalSample

from audit_env.catalog.files import Catalog
from audit_env.catalog.reading import shown
from audit_env.catalog.seal import report_hash
from audit_env.errors import AuditEnvError
from audit_env.game.record import AuditRecord
from audit_env.game.truth import open_truth
from audit_env.game.verification import check_seals
from audit_env.sessions.errors import SessionError
from audit_env.sessions.referee.ledger import Entry, Ledger
from audit_env.sessions.referee.opening import notice_of, notice_path, orders
from audit_env.sessions.referee.payloads import truth_payload
from audit_env.sessions.referee.scoring import opened_logs
from audit_env.sessions.referee.state import LOG, HandedIn, Sealed, Session, Terms, samples_of, sealed_in
from audit_env.sessions.referee.taking import UNREADABLE, log_of


@dataclass(frozen=True)
class Checked:
    """What was found."""

    entries: int
    audits: int
    """That came in."""
    logs: int
    """Given from outside, and compared."""
    noticed: bool
    """Whether the notice of the opening was there to compare with."""
    redrawn: str
    """Whether orders were drawn again, in words."""
    faults: tuple[str, ...]


def check(
    ledger: Ledger,
    logs: Sequence[Path] = (),
    notice: Path | None = None,
    receipts: Sequence[str] = (),
    catalog: Catalog | None = None,
) -> Checked:
    """Check a session.

    Args:
        ledger: Its file.
        logs: Logs as players kept them.
        notice: What was posted at the opening; None for the file beside the session's, if it is there.
        receipts: What players were told when they handed in.
        catalog: Where the organisms are, to draw them again; by default where they were when the session was opened.

    Returns:
        What was found.

    Raises:
        SessionError: If the session cannot be read at all.
    """
    with ledger.page() as page:
        session, sealed = Session(page.entries()), sealed_in(page)
        kept = [name.removeprefix(LOG) for name in page.names() if name.startswith(LOG)]
        contents = {digest: page.kept(LOG + digest) for digest in kept}
        faults = [
            *_chain(session.entries),
            *_commitments(session, sealed),
            *_played(session, sealed),
            *_logs_kept(session, contents),
        ]
        # What does not hold together cannot be compared any further.
        if not faults:
            for audits, log in opened_logs(page, session.handed_in):
                faults += [fault for one in audits for fault in _audit(session, sealed, one, log)]
    posted = notice or notice_path(ledger.path)
    noticed = notice is not None or posted.is_file()
    faults += _posted(ledger, posted) if noticed else []
    known = {entry.sha256 for entry in session.entries}
    faults += [
        f"Receipt {receipt[:12]}: no entry of the ledger has it." for receipt in receipts if receipt not in known
    ]
    faults += [fault for path in logs for fault in _given(path, session, contents)]
    there = Path(sealed.drawn.organisms) if sealed.drawn.organisms else None
    redrawn, other = _drawn_again(sealed, catalog or Catalog(there))
    return Checked(
        entries=len(session.entries),
        audits=len(session.handed_in),
        logs=len(logs),
        noticed=noticed,
        redrawn=redrawn,
        faults=tuple([*faults, *other]),
    )


def _chain(entries: Sequence[Entry]) -> Iterator[str]:
    before = ""
    for place, entry in enumerate(entries, start=1):
        if entry.number != place:
            yield f"The ledger has no entry {place}: it was taken out."
            return
        if not entry.follows(before):
            yield f"Entry {entry.number} of the ledger ('{entry.event}'), or the one before it, was changed."
            return
        before = entry.sha256
    if any(entry.event != "closed" for entry in _behind(entries, "closed")):
        yield "The ledger goes on after the session was closed."


def _behind(entries: Sequence[Entry], event: str) -> Sequence[Entry]:
    place = next((place for place, entry in enumerate(entries) if entry.event == event), len(entries))
    return entries[place + 1 :]


def _commitments(session: Session, sealed: Sealed) -> Iterator[str]:
    for source, truth in (("kept", sealed), ("opened", session.opened)):
        if truth is None:
            continue
        fixed = session.terms.commitments
        if tuple(sorted(one.commitment for one in truth.truths)) != fixed.truths:
            yield f"The truth that is {source} is not what was committed to."
        if truth.rubric.commitment != fixed.rubric:
            yield f"The menu or the rubrics that are {source} are not what was committed to."
        if truth.draw.commitment != fixed.draw:
            yield f"The seeds or the order of targets that are {source} are not what was committed to."


def _played(session: Session, sealed: Sealed) -> Iterator[str]:
    """Whether each team met its targets in its order."""
    for team in session.terms.teams:
        begun = list(dict.fromkeys(one.sample for one in session.begun if one.team == team))
        if team in sealed.drawn.teams and begun != samples_of(session.terms, sealed, team)[: len(begun)]:
            yield f"Team {team} met its targets in another order than was drawn."


def _logs_kept(session: Session, contents: dict[str, bytes | None]) -> Iterator[str]:
    named = {one.log for one in session.handed_in}
    for digest in named - contents.keys():
        yield f"The log {digest[:12]} that a report came in with is not there."
    for digest, content in contents.items():
        if digest not in named:
            yield f"The log {digest[:12]} is kept, and the entry of its report is not in the ledger: it was dropped."
        elif content is None or hashlib.sha256(content).hexdigest() != digest:
            yield f"The log {digest[:12]} was changed since it came in."


def _audit(session: Session, sealed: Sealed, one: HandedIn, log: EvalLog) -> Iterator[str]:
    whose = f"{one.sample} of team {one.team}"
    sample = next((sample for sample in log.samples or [] if str(sample.id) == one.logged), None)
    if sample is None:
        yield f"{whose}: its log does not hold it."
        return
    alone = log.model_copy(update={"samples": [sample]})
    yield from (
        f"{whose}: {fault}" for check in check_seals(alone) if check.state == "broken" for fault in check.faults
    )
    yield from (f"{whose}: {fault}" for fault in (*_report(one, sample), *_truth(session.terms, sealed, one, sample)))
    if log.eval.metadata and log.eval.metadata.get("session") == session.terms.session:
        begun = [each.commitment for each in session.begun if (each.team, each.sample) == (one.team, one.sample)]
        if one.commitment not in begun:
            yield f"{whose}: no sitting that the session knows began with its commitment."


def _report(one: HandedIn, sample: EvalSample) -> Iterator[str]:
    logged = sample.store_as(AuditRecord)
    report = logged.report.model_dump(mode="json") if logged.report else None
    if report != one.report or (one.report is not None and report_hash(one.report) != one.report_sha256):
        yield "The report in the ledger is not the one in the log."


def _truth(terms: Terms, sealed: Sealed, one: HandedIn, sample: EvalSample) -> Iterator[str]:
    alias, _, level = one.sample.partition(".")
    try:
        played = truth_payload(open_truth(sample.store_as(AuditRecord)))
        fixed = sealed.truth_of(one.team, alias)
    except AuditEnvError as error:
        yield str(error)
        return
    if played != fixed or level not in terms.affordances:
        yield "What was played is not what the session had drawn for it."
    asked = {
        quirk["id"]: {part: quirk[part] for part in ("definition", "trigger", "rubric")} for quirk in fixed["quirks"]
    }
    if any(sealed.rubric.payload["quirks"].get(quirk) != parts for quirk, parts in asked.items()):
        yield "The rubric of its quirk is not the one that was committed to."


def _posted(ledger: Ledger, path: Path) -> list[str]:
    try:
        posted = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SessionError(f"'{shown(path)}' cannot be read ({error}): give the notice that was posted.") from error
    if posted == notice_of(ledger):
        return []
    return [f"The terms or commitments are not those of the notice that was posted ({shown(path)})."]


def _given(path: Path, session: Session, contents: Collection[str]) -> Iterator[str]:
    """What a player's own log says that the session does not."""
    try:
        content = path.read_bytes()
        log = log_of(content)
    except UNREADABLE as error:
        raise SessionError(f"'{shown(path)}' cannot be read ({error}): give the file of an Inspect log.") from error
    if hashlib.sha256(content).hexdigest() in contents:
        return
    for sample in log.samples or []:
        record = sample.store_as(AuditRecord)
        came = next((one for one in session.handed_in if one.commitment == record.commitment), None)
        if came is None:
            yield f"{shown(path)}: the session has no report of audit {sample.id}: it was dropped, or is of another."
        elif any(_report(came, sample)):
            yield f"{shown(path)}: the report of audit {sample.id} is not the one that came in."
        else:
            yield f"{shown(path)}: this log was changed since it came in, or scored again."


def _drawn_again(sealed: Sealed, catalog: Catalog) -> tuple[str, list[str]]:
    """Whether the seeds give the order that was played, where the organisms are as they were."""
    try:
        cards = [catalog.card(organism).model_dump(mode="json") for organism in sealed.drawn.targets]
        drawn = orders(sealed.drawn, catalog)
    except AuditEnvError as error:
        return f"not drawn again ({error})", []
    if any(fixed.payload["card"] not in cards for fixed in sealed.truths):
        return "not drawn again (the organisms here are others by now)", []
    if drawn != sealed.drawn.teams:
        return "drawn again", ["The seeds do not give the order and the names of the targets that are in the session."]
    return "drawn again", []
