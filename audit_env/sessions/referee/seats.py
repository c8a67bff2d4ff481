"""Seats: a name in a team, and a token that only its holder knows."""

import hashlib
import hmac
import re
import secrets

from audit_env.sessions.errors import SessionError
from audit_env.sessions.referee.ledger import Ledger
from audit_env.sessions.referee.state import Joined, Session, changing

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


def join(ledger: Ledger, team: str, name: str) -> str:
    """Give somebody a seat.

    Args:
        ledger: The file of the session.
        team: Their team.
        name: The name under which they play.

    Returns:
        The seat's token. It is told this once: the session keeps its hash.

    Raises:
        SessionError: If there is no such team, the name cannot be one or is taken, or the session is closed.
    """
    if not _NAME.fullmatch(name):
        raise SessionError(f"'{name}' cannot be a player's name: use up to 32 letters, digits, '-' and '_'.")
    token = secrets.token_urlsafe(16)
    with changing(ledger) as (page, session):
        session.must_have(team)
        if any(seat.name == name for seat in session.seats):
            raise SessionError(f"'{name}' has a seat in this session already: use their token, or another name.")
        if name in {one.by for one in session.judged}:
            raise SessionError(f"'{name}' adjudicates in this session, and has seen truths: let somebody else play.")
        page.write("joined", Joined(team=team, name=name, token_sha256=_hash(token)).model_dump())
    return token


def seat_of(session: Session, name: str, token: str) -> Joined:
    """The seat that a token opens.

    Args:
        session: The session.
        name: Who wants to sit down.
        token: What they were given.

    Returns:
        Their seat.

    Raises:
        SessionError: If the token is not that of this name. It says the same whether there is such a name or not.
    """
    seat = next((seat for seat in session.seats if seat.name == name), None)
    expected = seat.token_sha256 if seat else _hash(secrets.token_urlsafe(16))
    if not hmac.compare_digest(expected.encode(), _hash(token).encode()) or seat is None:
        raise SessionError("Name and token do not belong together: use the token that  session join  gave.")
    return seat


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
