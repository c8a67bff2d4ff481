"""The journal of people's games: every turn is on disk before it is played, so that no kill loses one.

A game is resumed by playing its turns again: what a tool answers follows from the audit's seed and the turns before, so
that the same turns lead to the same place, and the log of the last sitting holds the whole game. The journal keeps a
hash of what the player saw before each turn; where a turn played again is met by anything else, the game stops.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from platformdirs import user_state_path

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
    at TEXT, PRIMARY KEY (key, attempt, number)
);
CREATE TABLE IF NOT EXISTS draft (
    key TEXT, attempt INTEGER, tool TEXT, arguments TEXT, PRIMARY KEY (key, attempt, tool)
);
"""


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


@dataclass(frozen=True)
class Seat:
    """A player's place in one game."""

    key: str
    attempt: int
    """How many times this player has begun this game: from the second time on, they have seen it before."""
    sitting: int
    seconds: float
    """Played in earlier sittings."""


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
            base.executescript(_SCHEMA)

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

    def turn(self, seat: Seat, number: int, seen: str) -> Turn | None:
        """A turn that was made before.

        Args:
            seat: Whose.
            number: Which, from 0.
            seen: What the player sees before it now.

        Returns:
            The turn; None where the player has yet to make it.

        Raises:
            SessionError: If the player saw something else before it then.
        """
        with self._open() as base:
            row = base.execute(
                "SELECT tool, arguments, seconds, sitting, at, seen FROM turn "
                "WHERE key = ? AND attempt = ? AND number = ?",
                (seat.key, seat.attempt, number),
            ).fetchone()
        if row is None:
            return None
        if row[5] != _hash(seen):
            raise SessionError(
                f"This game cannot go on: played again, turn {number} was answered otherwise than when you played it, "
                "so that the target, its settings or this version of audit_env must have changed. Set them back, or "
                "begin it anew with  --afresh."
            )
        return Turn(row[0], json.loads(row[1]), row[2], row[3], row[4])

    def write(self, seat: Seat, number: int, seen: str, tool: str, arguments: dict[str, Any], seconds: float) -> Turn:
        """Write a turn down, before it is played.

        Args:
            seat: Whose.
            number: Which, from 0.
            seen: What the player saw before it.
            tool: The tool that is called.
            arguments: Its arguments.
            seconds: Played so far.

        Returns:
            The turn.

        Raises:
            SessionError: If somebody else made this turn meanwhile.
        """
        turn = Turn(tool, arguments, round(seconds, 3), seat.sitting, _now())
        try:
            with self._open() as base:
                base.execute(
                    "INSERT INTO turn VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(seat.key, seat.attempt, number, _hash(seen), tool, json.dumps(arguments)),
                        *(turn.seconds, turn.sitting, turn.at),
                    ),
                )
                self._played(base, seat, seconds)
        except sqlite3.IntegrityError:
            raise SessionError(
                "This game is being played in another terminal under your name: go on there, or end it first."
            ) from None
        return turn

    def draft(self, seat: Seat, tool: str) -> dict[str, Any]:
        """What was typed into a tool's form and not taken yet."""
        with self._open() as base:
            row = base.execute(
                "SELECT arguments FROM draft WHERE key = ? AND attempt = ? AND tool = ?",
                (seat.key, seat.attempt, tool),
            ).fetchone()
        return json.loads(row[0]) if row else {}

    def keep_draft(self, seat: Seat, tool: str, arguments: dict[str, Any], seconds: float) -> None:
        """Keep what was typed into a tool's form, or with no arguments throw it away."""
        with self._open() as base:
            base.execute(
                "INSERT OR REPLACE INTO draft VALUES (?, ?, ?, ?)",
                (seat.key, seat.attempt, tool, json.dumps(arguments)),
            )
            self._played(base, seat, seconds)

    def leave(self, seat: Seat, seconds: float) -> None:
        """Write down how long the game was played so far."""
        with self._open() as base:
            self._played(base, seat, seconds)

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
