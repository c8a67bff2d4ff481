"""A player's sittings in a session: the team's audits, one after the other, each handed in with its report."""

from collections.abc import Callable
from pathlib import Path

from inspect_ai import Task

from audit_env.game.record import AuditRecord
from audit_env.sessions.referee.game import audit_of
from audit_env.sessions.referee.ledger import Ledger
from audit_env.sessions.referee.seats import seat_of
from audit_env.sessions.referee.state import Joined, Session, changing, samples_of, sealed_in
from audit_env.sessions.referee.taking import UNREADABLE, Taken, log_of, take
from audit_env.sessions.terminal import Terminal

Play = Callable[[Task, int], None]
"""Has a person play a task, for at most so many minutes; returns when they left, or it is over."""


def play_session(file: str, name: str, token: str, log_dir: str) -> None:
    """Have a player play in a session, in this terminal.

    Args:
        file: The file of the session.
        name: The player.
        token: That of their seat.
        log_dir: Where logs are written, and looked for.
    """
    # With Inspect's eval behind it.
    from audit_env.sessions.playing import play_in_person

    def play(task: Task, minutes: int) -> None:
        play_in_person(name, task, minutes=minutes, log_dir=log_dir, scored=False)

    play_seat(Ledger(Path(file)), name, token, Path(log_dir), play, Terminal().say)


def play_seat(ledger: Ledger, name: str, token: str, log_dir: Path, play: Play, say: Callable[[str], None]) -> None:
    """Have a player play the audits that are left to their team, until they leave.

    Args:
        ledger: The file of the session.
        name: The player.
        token: That of their seat.
        log_dir: Where logs are written, and looked for.
        play: Has them play an audit.
        say: Tells them something.

    Raises:
        SessionError: If name and token do not belong together, or the session is closed.
    """
    seat = _seat(ledger, name, token)
    if not _take_what_is_over(ledger, seat, log_dir, say) and _next(ledger, seat) is None:
        say(f"All targets of team {seat.team} are in, or others of the team have begun them.")
    while (sample := _next(ledger, seat)) is not None:
        with changing(ledger) as (page, session):
            terms, sealed = session.terms, sealed_in(page)
        play(audit_of(ledger, terms, sealed, seat.team, sample, name), terms.minutes)
        if not _take_what_is_over(ledger, seat, log_dir, say):
            return


def receipt(taken: Taken, session: str) -> str:
    """What a player is told when a report came in.

    Args:
        taken: What came in.
        session: Name of the session.

    Returns:
        Sentences.
    """
    reports = ", ".join(f"{one.sample} ({(one.report_sha256 or 'no report')[:12]})" for one in taken.handed_in)
    return f"Handed in to session {session}: {reports}.\nYour receipt: {taken.receipt}"


def _seat(ledger: Ledger, name: str, token: str) -> Joined:
    with changing(ledger) as (_, session):
        return seat_of(session, name, token)


def _next(ledger: Ledger, seat: Joined) -> str | None:
    with changing(ledger) as (page, session):
        return next(iter(_left_to(session, samples_of(session.terms, sealed_in(page), seat.team), seat)), None)


def _left_to(session: Session, samples: list[str], seat: Joined) -> list[str]:
    """Audits that a player can play: nobody else of the team has begun them. First the one that they have begun."""
    left = [
        sample
        for sample in samples
        if session.came_in(seat.team, sample) is None and session.holder(seat.team, sample) in (None, seat.name)
    ]
    return sorted(left, key=lambda sample: session.holder(seat.team, sample) is None)


def _take_what_is_over(ledger: Ledger, seat: Joined, log_dir: Path, say: Callable[[str], None]) -> bool:
    """Take in the logs of this player's audits that have a report, also of a sitting that was killed right after it.

    Returns:
        Whether there was one.
    """
    with changing(ledger) as (_, session):
        mine = [one for one in session.begun if (one.team, one.player) == (seat.team, seat.name)]
        open_logs = dict.fromkeys(one.log for one in mine if session.came_in(one.team, one.sample) is None)
    took = False
    for log in (log_dir / name for name in open_logs if name):
        if _holds_a_report(log):
            say(receipt(take(ledger, log), session.terms.session))
            took = True
    return took


def _holds_a_report(log: Path) -> bool:
    """Whether a sitting ended with its report; one that was left, or killed before its log was whole, did not."""
    try:
        return any(sample.store_as(AuditRecord).report for sample in log_of(log.read_bytes()).samples or [])
    except UNREADABLE:
        return False
