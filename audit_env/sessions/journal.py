"""The journal of people's games: every turn is on disk before it is played, so that no kill loses one.

A game is resumed by playing its turns again: what a tool answers follows from the audit's seed and the turns before, so
that the same turns lead to the same place, and the log of the last sitting holds the whole game. The journal keeps a
hash of what the player saw before each turn; where a turn played again is met by anything else, the game stops.

A player at the prompt is asked by the game itself. Other faces (the app, in a terminal or in browsers) are processes of
their own, in one room with the game: they put turns into the journal, the game takes them in order, and lays out in the
room what came of them. So nothing that is between the two can be lost either.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_state_path

from audit_env.sessions.clock import CLOSES
from audit_env.sessions.errors import SessionError

FOLDER_VARIABLE = "AUDIT_ENV_SESSIONS_DIR"
FILE = "people.sqlite"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS game (
    key TEXT, attempt INTEGER, player TEXT, sample TEXT, epoch INTEGER, opened TEXT,
    log TEXT, sitting INTEGER, seconds REAL, PRIMARY KEY (key, attempt)
);
CREATE TABLE IF NOT EXISTS turn (
    key TEXT, attempt INTEGER, number INTEGER, seen TEXT, tool TEXT, arguments TEXT, seconds REAL, sitting INTEGER,
    at TEXT, who TEXT, PRIMARY KEY (key, attempt, number)
);
CREATE TABLE IF NOT EXISTS draft (
    key TEXT, attempt INTEGER, who TEXT, tool TEXT, arguments TEXT, PRIMARY KEY (key, attempt, who, tool)
);
CREATE TABLE IF NOT EXISTS room (
    id TEXT PRIMARY KEY, version INTEGER, state TEXT, told TEXT, key TEXT, attempt INTEGER, view TEXT, present TEXT
);
"""
_EDITION = 2
"""Of the tables above."""
_ASK_EDITION = ("PRAGMA user_version", "SELECT count(*) FROM sqlite_master WHERE name = 'game'")

RoomState = Literal["opening", "playing", "between", "over", "stopped"]
"""opening: the game has yet to begin. between: one report is in, another target may come. over: all are in. stopped:
something went wrong, which `told` says."""


@dataclass(frozen=True)
class Turn:
    """One turn of a player."""

    tool: str
    arguments: dict[str, Any]
    seconds: float
    """Played when it was made, over all sittings."""
    sitting: int
    at: str
    """When, in UTC."""
    who: str
    """Who made it."""


@dataclass(frozen=True)
class Seat:
    """A player's place in one game."""

    key: str
    attempt: int
    """How many times this player has begun this game: from the second time on, they have seen it before."""
    sitting: int
    seconds: float
    """Played in earlier sittings."""


@dataclass(frozen=True)
class Room:
    """Where a game and its faces meet."""

    id: str
    version: int
    """Grows with every change."""
    state: RoomState
    told: str
    """The last thing that the game had to say to all."""
    view: str
    """What lies before the players, as JSON; empty before the game begins."""
    present: tuple[str, ...]
    """Who sits at a face."""
    seat: Seat | None
    """The place of all players in the game: `sitting` is the current one, `seconds` all that were played."""


class Journal:
    """The journal on this machine.

    Args:
        folder: Where its file is, or is to be.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE
        with self._open() as base:
            base.execute("PRAGMA journal_mode=WAL")
            edition, tables = (base.execute(ask).fetchone()[0] for ask in _ASK_EDITION)
            if tables and edition != _EDITION:
                raise SessionError(
                    f"The journal {self.path} was written by another version of audit_env: move the file away to begin "
                    "a new one (games that were left can then not be taken up again)."
                )
            base.executescript(_SCHEMA)
            base.execute(f"PRAGMA user_version={_EDITION}")

    @classmethod
    def from_environment(cls) -> "Journal":
        """The user's journal: in the folder of AUDIT_ENV_SESSIONS_DIR, or where the platform keeps such things."""
        folder = os.environ.get(FOLDER_VARIABLE)
        return cls(Path(folder).expanduser() if folder else user_state_path("audit_env", appauthor=False))

    def last(self, key: str) -> tuple[int, str] | None:
        """The last attempt at a game.

        Args:
            key: The game.

        Returns:
            Its number and where its log was written; None where there was none.
        """
        with self._open() as base:
            row = base.execute(
                "SELECT attempt, log FROM game WHERE key = ? ORDER BY attempt DESC LIMIT 1", (key,)
            ).fetchone()
        return (row[0], row[1]) if row else None

    def begin(self, key: str, attempt: int, *, player: str, sample: str, epoch: int, log: str) -> Seat:
        """Sit down: open a game, or go on with it.

        Args:
            key: The game.
            attempt: Number of the attempt: a new one opens it.
            player: Who plays.
            sample: Id of the sample.
            epoch: Its epoch.
            log: Where this sitting's log is written.

        Returns:
            The seat.
        """
        with self._open() as base:
            base.execute(
                "INSERT INTO game VALUES (?, ?, ?, ?, ?, ?, ?, 1, 0) ON CONFLICT (key, attempt) DO UPDATE SET "
                "log = excluded.log, sitting = sitting + 1",
                (key, attempt, player, sample, epoch, _now(), log),
            )
            sitting, seconds = base.execute(
                "SELECT sitting, seconds FROM game WHERE key = ? AND attempt = ?", (key, attempt)
            ).fetchone()
        return Seat(key, attempt, sitting, seconds)

    def again(self, seat: Seat, number: int, seen: str) -> Turn | None:
        """A turn that was taken before.

        Args:
            seat: Whose.
            number: Which, from 0.
            seen: What the player sees before it now.

        Returns:
            The turn; None where it has yet to be taken.

        Raises:
            SessionError: If the player saw something else before it then.
        """
        with self._open() as base:
            row = base.execute(
                "SELECT tool, arguments, seconds, sitting, at, who, seen FROM turn "
                "WHERE key = ? AND attempt = ? AND number = ? AND seen IS NOT NULL",
                (seat.key, seat.attempt, number),
            ).fetchone()
        if row is None:
            return None
        if row[6] != _hash(seen):
            raise SessionError(
                f"This game cannot go on: played again, turn {number} was answered otherwise than when you played it, "
                "so that the target, its settings or this version of audit_env must have changed. Set them back, or "
                "begin it anew with  --afresh."
            )
        return Turn(row[0], json.loads(row[1]), *row[2:6])

    def put(self, seat: Seat, who: str, tool: str, arguments: dict[str, Any], since: int | None = None) -> None:
        """Put a turn behind all others, for the game to take.

        Args:
            seat: Whose game.
            who: Who makes it.
            tool: The tool that is called.
            arguments: Its arguments.
            since: Of a verdict, the number of turns that its player had seen: if anybody put one since then, this one
                is not put.

        Raises:
            SessionError: If the game goes on elsewhere, or somebody else's verdict came first.
        """
        with self._open() as base:
            # From here on nobody else writes: of two verdicts in one moment, one is the first.
            base.execute("BEGIN IMMEDIATE")
            self._is_current(base, seat)
            if since is not None:
                self._is_first(base, seat, since)
            base.execute(
                "INSERT INTO turn SELECT ?, ?, coalesce(max(number) + 1, 0), NULL, ?, ?, NULL, NULL, ?, ? FROM turn "
                "WHERE key = ? AND attempt = ?",
                (seat.key, seat.attempt, tool, json.dumps(arguments), _now(), who, seat.key, seat.attempt),
            )

    def waiting(self, seat: Seat) -> list[tuple[str, str]]:
        """Turns that were put and not taken: who made each, and the tool that it calls."""
        with self._open() as base:
            return base.execute(
                "SELECT who, tool FROM turn WHERE key = ? AND attempt = ? AND seen IS NULL ORDER BY number",
                (seat.key, seat.attempt),
            ).fetchall()

    def not_played(self, seat: Seat, number: int) -> list[tuple[str, str]]:
        """The same for turns from a number on, whether they were taken or not."""
        with self._open() as base:
            return base.execute(
                "SELECT who, tool FROM turn WHERE key = ? AND attempt = ? AND number >= ? ORDER BY number",
                (seat.key, seat.attempt, number),
            ).fetchall()

    def take(self, seat: Seat, number: int, seen: str, seconds: float) -> Turn | None:
        """Take the first turn that waits.

        Args:
            seat: Whose.
            number: Which turn it becomes, from 0.
            seen: What the player sees before it.
            seconds: Played so far.

        Returns:
            The turn; None where none waits.

        Raises:
            SessionError: If the game goes on elsewhere.
        """
        with self._open() as base:
            row = base.execute(
                "SELECT tool, arguments, at, who, number FROM turn "
                "WHERE key = ? AND attempt = ? AND seen IS NULL ORDER BY number LIMIT 1",
                (seat.key, seat.attempt),
            ).fetchone()
            if row is None:
                return None
            self._is_current(base, seat)
            turn = Turn(row[0], json.loads(row[1]), round(seconds, 3), seat.sitting, row[2], row[3])
            base.execute(
                "UPDATE turn SET number = ?, seen = ?, seconds = ?, sitting = ? "
                "WHERE key = ? AND attempt = ? AND number = ?",
                (number, _hash(seen), turn.seconds, turn.sitting, seat.key, seat.attempt, row[4]),
            )
            self._played(base, seat, seconds)
        return turn

    def throw_away(self, seat: Seat) -> None:
        """Throw the first turn that waits away."""
        with self._open() as base:
            base.execute(
                "DELETE FROM turn WHERE key = ? AND attempt = ? AND number = "
                "(SELECT min(number) FROM turn WHERE key = ? AND attempt = ? AND seen IS NULL)",
                (seat.key, seat.attempt) * 2,
            )

    def draft(self, seat: Seat, who: str, tool: str) -> dict[str, Any]:
        """What somebody typed into a tool's form that was not taken yet."""
        with self._open() as base:
            row = base.execute(
                "SELECT arguments FROM draft WHERE key = ? AND attempt = ? AND who = ? AND tool = ?",
                (seat.key, seat.attempt, who, tool),
            ).fetchone()
        return json.loads(row[0]) if row else {}

    def keep_draft(self, seat: Seat, who: str, tool: str, arguments: dict[str, Any]) -> None:
        """Keep what somebody typed into a tool's form, or with no arguments throw it away."""
        with self._open() as base:
            base.execute(
                "INSERT OR REPLACE INTO draft VALUES (?, ?, ?, ?, ?)",
                (seat.key, seat.attempt, who, tool, json.dumps(arguments)),
            )

    def played(self, seat: Seat, seconds: float) -> None:
        """Write down how long the game was played so far."""
        with self._open() as base:
            self._played(base, seat, seconds)

    def open_room(self, room: str) -> None:
        """Open a room, with nobody in it."""
        with self._open() as base:
            base.execute("INSERT INTO room VALUES (?, 0, 'opening', '', NULL, NULL, '', '[]')", (room,))

    def close_room(self, room: str) -> None:
        """Close a room. Turns, drafts and time played stay."""
        with self._open() as base:
            base.execute("DELETE FROM room WHERE id = ?", (room,))

    def room(self, room: str) -> Room:
        """A room as it is now.

        Raises:
            SessionError: If there is none of this name.
        """
        with self._open() as base:
            row = base.execute(
                "SELECT version, state, told, view, present, room.key, room.attempt, sitting, seconds FROM room "
                "LEFT JOIN game ON game.key = room.key AND game.attempt = room.attempt WHERE id = ?",
                (room,),
            ).fetchone()
        if row is None:
            raise SessionError("There is no such room.")
        version, state, told, view, present, *place = row
        return Room(room, version, state, told, view, tuple(json.loads(present)), Seat(*place) if place[0] else None)

    def lay_out(self, room: str, seat: Seat, view: str) -> None:
        """Show the players what lies before them.

        Args:
            room: Where they are.
            seat: Their place in the game.
            view: What they see, as JSON.

        Raises:
            SessionError: If somebody plays on elsewhere.
        """
        with self._open() as base:
            self._is_current(base, seat)
            base.execute(
                "UPDATE room SET version = version + 1, state = 'playing', told = '', key = ?, attempt = ?, view = ? "
                "WHERE id = ?",
                (seat.key, seat.attempt, view, room),
            )

    def tell(self, room: str, told: str, state: RoomState | None = None) -> None:
        """Say something to all in a room, and with a state set how it stands."""
        with self._open() as base:
            base.execute(
                "UPDATE room SET version = version + 1, told = ?, state = coalesce(?, state) WHERE id = ?",
                (told, state, room),
            )

    def sit_down(self, room: str, present: Iterable[str]) -> None:
        """Write down who sits at a face. The clock of a game stands while nobody does."""
        with self._open() as base:
            base.execute(
                "UPDATE room SET version = version + 1, present = ? WHERE id = ?",
                (json.dumps(sorted(set(present))), room),
            )

    def watch(self) -> Callable[[], bool]:
        """A function that says whether another connection wrote anything since it was last asked. It costs little."""
        base = sqlite3.connect(self.path, timeout=30)
        last = -1

        def changed() -> bool:
            nonlocal last
            before, last = last, base.execute("PRAGMA data_version").fetchone()[0]
            return bool(before != last)

        return changed

    @staticmethod
    def _is_current(base: sqlite3.Connection, seat: Seat) -> None:
        [sitting] = base.execute(
            "SELECT sitting FROM game WHERE key = ? AND attempt = ?", (seat.key, seat.attempt)
        ).fetchone()
        if sitting != seat.sitting:
            raise SessionError("This game goes on elsewhere: it was taken up again after it began here.")

    @staticmethod
    def _is_first(base: sqlite3.Connection, seat: Seat, since: int) -> None:
        turns = base.execute(
            "SELECT who, tool FROM turn WHERE key = ? AND attempt = ? AND number >= ? ORDER BY number",
            (seat.key, seat.attempt, since),
        )
        if before := next((who for who, tool in turns if tool in CLOSES), None):
            raise SessionError(
                f"{before} has just handed in a verdict, and one is all that counts: yours was not sent. It is kept in "
                "the form, should the other one be refused."
            )

    @staticmethod
    def _played(base: sqlite3.Connection, seat: Seat, seconds: float) -> None:
        base.execute("UPDATE game SET seconds = ? WHERE key = ? AND attempt = ?", (seconds, seat.key, seat.attempt))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection for one transaction. None is kept: a killed process then leaves nothing open."""
        base = sqlite3.connect(self.path, timeout=30)
        try:
            with base:
                yield base
        finally:
            base.close()


def game_key(*parts: object) -> str:
    """The name under which a game is found again.

    Args:
        parts: All that makes it this game: player, sample, seed, brief.

    Returns:
        64 hexadecimal digits.
    """
    return _hash(json.dumps([str(part) for part in parts]))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
