"""Where a session stands: its terms, who sits where, what was handed in, judged and opened, read from its ledger."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

from pydantic import ValidationError

from audit_env.catalog.models import Strict
from audit_env.catalog.seal import commit
from audit_env.game.grader import Verdict
from audit_env.game.record import Affordance, AnswerFormat
from audit_env.sessions.errors import SessionError
from audit_env.sessions.referee.ledger import Entry, Ledger, Page

Event = Literal["opened", "joined", "begun", "handed_in", "judged", "settled", "closed"]

SEALED = "sealed"
"""Under which name the payloads and salts of the commitments are kept until they are opened."""


LOG = "log:"
"""Before the hash of a log that is kept."""


def opening_of(commitment: str) -> str:
    """Under which name that is kept which an audit's own commitment is opened with.

    Args:
        commitment: That of the audit's record.

    Returns:
        The name.
    """
    return f"opening:{commitment}"


class Commitments(Strict):
    """What was fixed when the session was opened, as salted hashes."""

    truths: tuple[str, ...]
    """What each target is. Sorted, so that their order tells nothing."""
    rubric: str
    """The menu, and of each quirk on it what an answer in words must say."""
    draw: str
    """The seeds, and for each team the order and the names of its targets."""


class Terms(Strict):
    """The terms of a session, which all may know. They are its first entry."""

    session: str
    """Its name: eight hexadecimal digits."""
    set: str
    teams: tuple[str, ...]
    targets: int
    affordances: tuple[Affordance, ...]
    answers: AnswerFormat
    base_rate: Literal["withheld", "stated"]
    minutes: int
    """For each target, over all sittings."""
    protocol: int
    briefs: tuple[str, ...]
    """Hashes of the briefs: an audit under another brief is not of this session."""
    commitments: Commitments


class Fixed(Strict):
    """What a commitment is opened with."""

    payload: dict[str, Any]
    salt: str

    @property
    def commitment(self) -> str:
        """The commitment that it opens."""
        return commit(self.payload, self.salt)


class Drawn(Strict):
    """What one team plays."""

    seed: int
    order: tuple[tuple[str, str], ...]
    """Alias and organism of each target, in playing order."""


class Draw(Strict):
    """Payload of the commitment `draw`."""

    set: str
    seed: int
    """Decides which targets are drawn."""
    secret: str
    """With it each team's seed is made, so that nobody finds aliases and orders by trying seeds."""
    targets: tuple[str, ...]
    """Organisms, in the order of the set."""
    reference_sham: str | None
    organisms: str | None = None
    """Folder of the catalogue that they lie in; None for the one that comes with audit_env."""
    teams: dict[str, Drawn]


class Sealed(Strict):
    """What the commitments are opened with. This is the truth of the session: no player may see it."""

    truths: tuple[Fixed, ...]
    rubric: Fixed
    draw: Fixed

    @cached_property
    def drawn(self) -> Draw:
        """The seeds and orders."""
        return Draw.model_validate(self.draw.payload)

    def truth_of(self, team: str, alias: str) -> dict[str, Any]:
        """What a team's target is: the payload of its commitment.

        Args:
            team: The team.
            alias: Under which name the team meets it.

        Returns:
            Its card and quirks.

        Raises:
            SessionError: If the team has no such target.
        """
        organism = dict(self.drawn.teams[team].order).get(alias) if team in self.drawn.teams else None
        for fixed in self.truths:
            if fixed.payload["card"]["id"] == organism:
                return fixed.payload
        raise SessionError(f"Team '{team}' has no target '{alias}' in this session: name a log of its own.")


class Joined(Strict):
    """Somebody took a seat."""

    team: str
    name: str
    token_sha256: str


class Begun(Strict):
    """Somebody sat down to an audit, for the first time or again."""

    team: str
    sample: str
    player: str
    commitment: str
    """That of the audit's record."""
    log: str
    """Name of the file that the sitting is logged to."""


class HandedIn(Strict):
    """An audit came in, with its report and the log that holds it."""

    team: str
    sample: str
    """Its id in this session: the team's alias of the target, and the level."""
    player: str
    report: dict[str, Any] | None
    """None where the audit ended without one."""
    report_sha256: str | None
    seconds: float | None
    """Played until the report, over all sittings."""
    log: str
    """Hash of the log's file, under which it is kept."""
    logged: str
    """The sample's id in that log: an agent's may have met the target under another alias."""
    commitment: str | None
    """That of the audit's record."""


class Judged(Strict):
    """Somebody said whether a claim describes the quirk."""

    question: str
    """Hash of what was asked: the quirk, its rubric, the claim."""
    by: str
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True)
class Session:
    """Where a session stands.

    Args:
        entries: Its ledger, oldest first.

    Raises:
        SessionError: If it was never opened, or an entry is not what such an entry is.
    """

    entries: Sequence[Entry]

    def __post_init__(self) -> None:
        if not self.entries or self.entries[0].event != "opened":
            raise SessionError("This session was never opened to its end: give the command  session open  again.")

    @cached_property
    def terms(self) -> Terms:
        """The terms."""
        return _read(Terms, self.entries[0])

    @cached_property
    def seats(self) -> list[Joined]:
        """Who sits where."""
        return self._all("joined", Joined)

    @cached_property
    def begun(self) -> list[Begun]:
        """Every sitting, oldest first."""
        return self._all("begun", Begun)

    @cached_property
    def handed_in(self) -> list[HandedIn]:
        """Every audit that came in, oldest first."""
        return self._all("handed_in", HandedIn)

    @cached_property
    def judged(self) -> list[Judged]:
        """Every judgement of an answer in words, oldest first."""
        return self._all("judged", Judged)

    @cached_property
    def settled(self) -> list[Judged]:
        """What was decided where two judged differently."""
        return self._all("settled", Judged)

    @property
    def opened(self) -> Sealed | None:
        """The truth, once the session is closed."""
        entry = next((entry for entry in self.entries if entry.event == "closed"), None)
        return _read(Sealed, entry) if entry else None

    @property
    def closed(self) -> bool:
        """Whether truths were opened. Nothing comes in after that."""
        return any(entry.event == "closed" for entry in self.entries)

    def must_be_open(self) -> None:
        """Refuse what would change a session whose truth is known.

        Raises:
            SessionError: If it is closed.
        """
        if self.closed:
            raise SessionError("This session is closed and its truth is open: nothing can be changed any more.")

    def must_have(self, team: str) -> None:
        """Refuse the name of a team that does not play.

        Args:
            team: The name.

        Raises:
            SessionError: If there is no such team.
        """
        if team not in self.terms.teams:
            raise SessionError(f"There is no team '{team}' here: the teams are {', '.join(self.terms.teams)}.")

    def came_in(self, team: str, sample: str) -> HandedIn | None:
        """An audit of a team, if it came in."""
        return next((one for one in self.handed_in if (one.team, one.sample) == (team, sample)), None)

    def holder(self, team: str, sample: str) -> str | None:
        """Who of a team has begun an audit: members share the team's targets, each of which one of them plays."""
        return next((one.player for one in self.begun if (one.team, one.sample) == (team, sample)), None)

    def _all(self, event: Event, model: "type[About]") -> "list[About]":
        return [_read(model, entry) for entry in self.entries if entry.event == event]


About = TypeVar("About", bound=Strict)


def samples_of(terms: Terms, sealed: Sealed, team: str) -> list[str]:
    """Ids of a team's audits, in playing order.

    Args:
        terms: The terms.
        sealed: What was drawn.
        team: The team.

    Returns:
        One for each target and level.
    """
    return [f"{alias}.{level}" for alias, _ in sealed.drawn.teams[team].order for level in terms.affordances]


def read(ledger: Ledger) -> Session:
    """Where a session stands now.

    Args:
        ledger: Its file.

    Returns:
        The session.
    """
    with ledger.page() as page:
        return Session(page.entries())


@contextmanager
def changing(ledger: Ledger) -> Iterator[tuple[Page, Session]]:
    """Change a session that is open: nobody else changes it meanwhile.

    Args:
        ledger: Its file.

    Yields:
        The page to write on, and where the session stands.

    Raises:
        SessionError: If it is closed.
    """
    with ledger.page() as page:
        session = Session(page.entries())
        session.must_be_open()
        yield page, session


def sealed_in(page: Page) -> Sealed:
    """What the commitments of a session are opened with.

    Args:
        page: Its file.

    Returns:
        The truth of the session.

    Raises:
        SessionError: If it is not there, or is not what it should be.
    """
    try:
        return Sealed.model_validate_json(page.kept(SEALED) or b"")
    except ValidationError as error:
        raise SessionError("The sealed truth of this session is damaged: restore its file from a copy.") from error


def by_question(judged: Iterable[Judged]) -> dict[str, dict[str, Judged]]:
    """Judgements by question and by who gave them: of several by one the last, and who spoke last stands last."""
    found: dict[str, dict[str, Judged]] = {}
    for one in judged:
        said = found.setdefault(one.question, {})
        said.pop(one.by, None)
        said[one.by] = one
    return found


def _read(model: type[About], entry: Entry) -> About:
    try:
        return model.model_validate(entry.about)
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise SessionError(
            f"Entry {entry.number} of the ledger ('{entry.event}') is damaged or by another version of audit_env, at "
            f"its field '{field}': restore the file from a copy."
        ) from error
