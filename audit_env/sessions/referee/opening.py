"""Opening a session: draw what each team plays, fix it by commitments, and publish these."""

import hashlib
import json
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import GameSet
from audit_env.catalog.reading import shown
from audit_env.errors import ParameterError
from audit_env.game.draw import draw
from audit_env.game.truth import envelope_of
from audit_env.sessions.errors import SessionError
from audit_env.sessions.referee.game import game_of, set_of
from audit_env.sessions.referee.ledger import Ledger
from audit_env.sessions.referee.payloads import rubric_payload, truth_payload
from audit_env.sessions.referee.state import (
    SEALED,
    Commitments,
    Draw,
    Drawn,
    Fixed,
    Sealed,
    Session,
    Terms,
    read,
    sealed_in,
)

SEED_BITS = 53
"""What a number in JSON holds exactly."""


def open_session(
    path: Path,
    *,
    set: str,
    teams: Sequence[str],
    seed: int | None,
    minutes: int,
    affordances: Sequence[str],
    targets: int | None = None,
    answers: str = "menu",
    base_rate: str = "withheld",
) -> Ledger:
    """Open a session. Given again after it was killed, or with the same terms, it changes nothing that is there.

    Args:
        path: The file of the session.
        set: The game set.
        teams: Names of the teams.
        seed: Decides which targets are drawn; None for one that nobody knows.
        minutes: How long each target may be played.
        affordances: The levels of access.
        targets: How many targets to draw; None for all of the set.
        answers: "menu" or "open".
        base_rate: "withheld" or "stated".

    Returns:
        Its ledger.

    Raises:
        SessionError: If another session is in the file.
        ParameterError: If a term is not valid.
        CardError: If set or organisms are missing or malformed.
    """
    if not teams or len({*teams}) != len(teams):
        raise ParameterError("Parameter 'teams' must name each team once, such as  --teams red,blue.")
    asked = {"minutes": minutes, "answers": answers, "base_rate": base_rate, "affordances": tuple(affordances)}
    catalog = Catalog().of_set(set)
    game_set = catalog.game_set(set)
    if path.exists():
        ledger = Ledger.begin(path)
        with ledger.page() as page:
            if entries := page.entries():
                same = asked | {"teams": tuple(teams), "set": game_set.name} | ({"targets": targets} if targets else {})
                _must_be_the_same(path, Session(entries).terms, sealed_in(page).drawn, same, seed)
                return ledger
    sealed = _sealed(catalog, game_set, teams, secrets.randbits(SEED_BITS) if seed is None else seed, targets)
    games = {
        team: game_of(sealed.drawn, team, affordances=affordances, answers=answers, base_rate=base_rate)
        for team in teams
    }
    terms = Terms(
        session=secrets.token_hex(4),
        set=game_set.name,
        teams=tuple(teams),
        targets=len(sealed.truths),
        protocol=next(iter(games.values())).version,
        briefs=tuple(sorted({brief_hash(sample.input) for game in games.values() for sample in game.dataset})),
        commitments=Commitments(
            truths=tuple(sorted(fixed.commitment for fixed in sealed.truths)),
            rubric=sealed.rubric.commitment,
            draw=sealed.draw.commitment,
        ),
        **asked,
    )
    ledger = Ledger.begin(path)
    with ledger.page() as page:
        if page.entries():
            raise SessionError(f"'{shown(path)}' was opened by somebody else just now: name another file.")
        page.keep(SEALED, sealed.model_dump_json().encode())
        page.write("opened", terms.model_dump(mode="json"))
    return ledger


def notice_of(ledger: Ledger) -> dict[str, Any]:
    """What can be posted for all to see, before anybody plays.

    Args:
        ledger: The file of the session.

    Returns:
        The terms with the commitments, and the hash that the ledger begins with.
    """
    session = read(ledger)
    first = session.entries[0]
    return {"opened": first.at, **session.terms.model_dump(mode="json"), "ledger": first.sha256}


def notice_path(path: Path) -> Path:
    """Where the notice of a session is put.

    Args:
        path: The file of the session.

    Returns:
        A path beside it.
    """
    return path.with_name(f"{path.name}.public.json")


def publish(ledger: Ledger) -> Path:
    """Put the notice beside the file of the session.

    Args:
        ledger: The file.

    Returns:
        Where the notice is.
    """
    path = notice_path(ledger.path)
    draft = path.with_name(f"{path.name}.draft")
    draft.write_text(json.dumps(notice_of(ledger), indent=2) + "\n", encoding="utf-8")
    return draft.replace(path)


def brief_hash(brief: object) -> str:
    """The hash under which the terms name a brief.

    Args:
        brief: Its text.

    Returns:
        64 hexadecimal digits.
    """
    return hashlib.sha256(str(brief).encode()).hexdigest()


def orders(drawn: Draw, catalog: Catalog) -> dict[str, Drawn]:
    """What the seeds of a session give: anybody can draw again.

    Args:
        drawn: Set, seeds and targets.
        catalog: Where the organisms are.

    Returns:
        For each team the order and the names of its targets.
    """
    return {team: _drawn(drawn, catalog, team) for team in drawn.teams}


def _drawn(drawn: Draw, catalog: Catalog, team: str) -> Drawn:
    seed = _team_seed(drawn, team)
    return Drawn(
        seed=seed,
        order=tuple((one.alias, one.card.id) for one in draw(set_of(drawn), catalog, count=None, seed=seed)),
    )


def _team_seed(drawn: Draw, team: str) -> int:
    digest = hashlib.sha256(f"{drawn.secret}:{drawn.seed}:{team}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - SEED_BITS)


def _sealed(catalog: Catalog, game_set: GameSet, teams: Sequence[str], seed: int, count: int | None) -> Sealed:
    targets = draw(game_set, catalog, count=count, seed=seed)
    ids = {target.card.id for target in targets}
    without_order = Draw(
        set=game_set.name,
        seed=seed,
        secret=secrets.token_hex(16),
        targets=tuple(organism for organism in game_set.targets if organism in ids),
        reference_sham=game_set.reference_sham,
        organisms=str(catalog.root) if game_set.organisms else None,
        teams={team: Drawn(seed=0, order=()) for team in teams},
    )
    drawn = without_order.model_copy(update={"teams": orders(without_order, catalog)})
    return Sealed(
        truths=tuple(_fixed(truth_payload(envelope_of(target.alias))) for target in targets),
        rubric=_fixed(rubric_payload(catalog)),
        draw=_fixed(drawn.model_dump(mode="json")),
    )


def _fixed(payload: dict[str, Any]) -> Fixed:
    return Fixed(payload=payload, salt=secrets.token_hex(16))


def _must_be_the_same(path: Path, terms: Terms, drawn: Draw, asked: dict[str, Any], seed: int | None) -> None:
    other = [name for name, value in asked.items() if getattr(terms, name) != value]
    if other or seed not in (None, drawn.seed):
        raise SessionError(
            f"'{shown(path)}' holds another session already (other {', '.join(other) or 'seed'}): name another file."
        )
