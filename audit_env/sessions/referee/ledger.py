"""The file of a session: a ledger that only grows, each entry chained to the one before, and what is kept beside it.

An entry's hash covers the hash before it, so that an entry that is changed, left out or put in between breaks the chain
from there on. Whoever knows a later hash, such as a player with a receipt, can tell that all before it is as it was.

A transaction is whole or not there at all, whenever a process is killed (SQLite in WAL mode).
"""

import json
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audit_env.catalog.reading import shown
from audit_env.catalog.seal import commit
from audit_env.sessions.errors import SessionError

MAGIC = 0x61756474
"""In the file's head (`PRAGMA application_id`): "audt"."""

# Each is whole by itself; the first marks the file, so that one whose making was killed is known again.
_SCHEMA = (
    f"PRAGMA application_id = {MAGIC}",
    "PRAGMA journal_mode = WAL",
    "CREATE TABLE IF NOT EXISTS entry (number INTEGER PRIMARY KEY, at TEXT, event TEXT, about TEXT, sha256 TEXT)",
    "CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, packed BLOB)",
)


@dataclass(frozen=True)
class Entry:
    """One thing that happened."""

    number: int
    """From 1, without gaps."""
    at: str
    """When, in UTC."""
    event: str
    about: dict[str, Any]
    sha256: str
    """Of this entry and the hash of the one before."""

    def follows(self, before: str) -> bool:
        """Whether its hash is right behind the hash of the entry before."""
        return self.sha256 == _chained(self.number, self.at, self.event, self.about, before)


class Page:
    """What can be read and written in one transaction.

    Args:
        base: The connection, in a transaction.
    """

    def __init__(self, base: sqlite3.Connection) -> None:
        self._base = base

    def entries(self) -> list[Entry]:
        """All entries, oldest first."""
        rows = self._base.execute("SELECT number, at, event, about, sha256 FROM entry ORDER BY number")
        return [Entry(number, at, event, json.loads(about), sha256) for number, at, event, about, sha256 in rows]

    def write(self, event: str, about: dict[str, Any]) -> Entry:
        """Add an entry.

        Args:
            event: What happened.
            about: All that must be known of it, as JSON data.

        Returns:
            The entry.
        """
        last = self._base.execute("SELECT number, sha256 FROM entry ORDER BY number DESC LIMIT 1").fetchone()
        number, before = (last[0] + 1, last[1]) if last else (1, "")
        at = datetime.now(UTC).isoformat(timespec="seconds")
        entry = Entry(number, at, event, about, _chained(number, at, event, about, before))
        self._base.execute(
            "INSERT INTO entry VALUES (?, ?, ?, ?, ?)", (number, at, event, json.dumps(about), entry.sha256)
        )
        return entry

    def keep(self, name: str, content: bytes) -> None:
        """Keep something beside the ledger, packed, so that nobody who leafs through the file reads it by accident.

        Args:
            name: The name to find it under. What was kept under it before is lost.
            content: What is kept.
        """
        self._base.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (name, zlib.compress(content)))

    def kept(self, name: str) -> bytes | None:
        """What is kept under a name; None where there is nothing, or it cannot be unpacked."""
        row = self._base.execute("SELECT packed FROM kept WHERE name = ?", (name,)).fetchone()
        try:
            return zlib.decompress(row[0]) if row else None
        except (zlib.error, TypeError):
            return None

    def names(self) -> list[str]:
        """Under which names something is kept."""
        return [name for (name,) in self._base.execute("SELECT name FROM kept ORDER BY name")]


class Ledger:
    """The file of a session.

    Args:
        path: Where it is.

    Raises:
        SessionError: If it is no such file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise SessionError(f"There is no session '{shown(path)}': begin one with  audit-env session open.")
        if not is_session(path):
            raise SessionError(f"'{shown(path)}' is not the file of a session: name one that  session open  made.")

    @classmethod
    def begin(cls, path: Path) -> "Ledger":
        """Make an empty one, or take up one that is there.

        Args:
            path: Where it is to be.

        Returns:
            The ledger.

        Raises:
            SessionError: If another file is in its place, or it cannot be written there.
        """
        if path.exists() and not is_session(path) and path.stat().st_size:
            raise SessionError(f"'{shown(path)}' is there already, and is not the file of a session: name another.")
        try:
            with closing(sqlite3.connect(path, timeout=30)) as base:
                for statement in _SCHEMA:
                    base.execute(statement)
        except sqlite3.Error as error:
            raise SessionError(f"'{shown(path)}' cannot be written ({error}): name another place.") from error
        return cls(path)

    @contextmanager
    def page(self) -> Iterator[Page]:
        """A transaction: all that is written on the page comes into the file together, or where it is left early none.

        Raises:
            SessionError: If the file is damaged, or cannot be written.
        """
        try:
            with closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as base:
                base.execute("PRAGMA synchronous=FULL")
                base.execute("BEGIN IMMEDIATE")
                yield Page(base)
                base.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise SessionError(
                f"'{shown(self.path)}' cannot be used now ({error}): see that it can be written and that nothing else "
                "holds it, and try again."
            ) from error
        except (sqlite3.DatabaseError, json.JSONDecodeError) as error:
            raise SessionError(f"'{shown(self.path)}' is damaged ({error}): restore it from a copy.") from error


def is_session(path: Path) -> bool:
    """Whether a file is the file of a session.

    Args:
        path: The file.

    Returns:
        True where its head says so.
    """
    try:
        with path.open("rb") as file:
            if not file.read(16).startswith(b"SQLite format 3"):
                return False
        with closing(sqlite3.connect(path, timeout=30)) as base:
            return bool(base.execute("PRAGMA application_id").fetchone()[0] == MAGIC)
    except (OSError, sqlite3.Error):
        return False


def _chained(number: int, at: str, event: str, about: dict[str, Any], before: str) -> str:
    return commit({"number": number, "at": at, "event": event, "about": about}, before)
