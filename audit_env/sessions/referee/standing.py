"""How far a session is, in words that tell no truth: anybody may see them."""

from typing import Any

from audit_env.sessions.referee.ledger import Ledger
from audit_env.sessions.referee.state import Session, read


def standing(ledger: Ledger) -> dict[str, Any]:
    """How far a session is.

    Args:
        ledger: Its file.

    Returns:
        JSON data: the terms, for each team its seats, what came in, what is being played and seconds played, and the
        last hash of the ledger.
    """
    session = read(ledger)
    last = session.entries[-1]
    return {
        "opened": session.entries[0].at,
        "closed": session.closed,
        **session.terms.model_dump(mode="json"),
        "teams": [_team(session, team) for team in session.terms.teams],
        "claims_judged": len({one.question for one in session.judged}),
        "entries": last.number,
        "head": last.sha256,
    }


def _team(session: Session, team: str) -> dict[str, Any]:
    came_in = [one for one in session.handed_in if one.team == team]
    done = {one.sample for one in came_in}
    begun = {one.sample: one.player for one in session.begun if one.team == team and one.sample not in done}
    return {
        "team": team,
        "seats": [seat.name for seat in session.seats if seat.team == team],
        "audits": session.terms.targets * len(session.terms.affordances),
        "in": len(came_in),
        "playing": [{"player": player, "audit": sample} for sample, player in begun.items()],
        "seconds": sum(one.seconds or 0.0 for one in came_in),
        "reports": {one.sample: one.report_sha256 for one in came_in},
    }
