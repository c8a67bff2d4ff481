"""Killed before each statement that a command gives to SQLite: what is there afterwards is all or nothing."""

import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit_env.sessions.referee import opening, results
from audit_env.sessions.referee.checking import check
from audit_env.sessions.referee.ledger import Ledger
from audit_env.sessions.referee.opening import open_session, publish
from audit_env.sessions.referee.state import read
from audit_env.sessions.referee.taking import take
from tests.sessions.referee.conftest import BASE, HEAVY, Played, copied, forgotten, set_file

FACTORY = sqlite3.Connection
PATIENCE = 300
"""Seconds that a command may take in its process."""
heavy = pytest.mark.skipif(not HEAVY, reason="takes long; set AUDIT_ENV_HEAVY=1")


def killed_at(statement: int, command: Callable[[], object]) -> bool:
    """Run a command in a process of its own, which is killed before a statement.

    Returns:
        Whether it came that far.
    """
    child = os.fork()
    if child == 0:
        # Another thread may have held a lock at the fork, which nobody opens here: that is a kill like the others.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(PATIENCE)
        left = statement

        class Mortal(FACTORY):
            def execute(self, *arguments: Any) -> sqlite3.Cursor:
                nonlocal left
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().execute(*arguments)

        connect = sqlite3.connect
        sqlite3.connect = lambda *arguments, **named: connect(*arguments, **{**named, "factory": Mortal})
        try:
            command()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@heavy
def test_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terms: dict[str, Any] = {"teams": ["one"], "seed": 1, "minutes": 5, "affordances": ["blind"]}
    game_set = str(set_file(tmp_path, BASE))
    # The same draw for all of them, because only the file is at stake.
    for name in ("_sealed", "game_of"):
        monkeypatch.setattr(opening, name, _once(getattr(opening, name)))
    open_session(tmp_path / "first.session", set=game_set, **terms)
    statement = 0
    while statement := statement + 1:
        file = tmp_path / f"{statement}.session"
        was_killed = killed_at(statement, lambda file=file: open_session(file, set=game_set, **terms))
        ledger = open_session(file, set=game_set, **terms)
        assert [entry.event for entry in read(ledger).entries] == ["opened"]
        if not was_killed:
            break
    publish(ledger)
    assert statement > 8 and check(ledger).faults == ()


@pytest.mark.parametrize("what", [pytest.param("take", marks=heavy), "close"])
def test_taking_and_closing(played: Played, tmp_path: Path, what: str) -> None:
    agent = Path(played.agent.location.removeprefix("file://"))
    statement, events = 0, set()
    while statement := statement + 1:
        folder = tmp_path / str(statement)
        folder.mkdir()
        ledger = Ledger(copied(played.file, folder))
        before = len(read(ledger).entries)
        if what == "take":
            forgotten(ledger, "machines")
            before = len(read(ledger).entries)
            was_killed = killed_at(statement, lambda ledger=ledger: take(ledger, agent, "machines"))
        else:
            was_killed = killed_at(statement, lambda ledger=ledger: results.close(ledger))
        events.add(len(read(ledger).entries) - before)
        if not was_killed:
            break
    assert statement > 4 and events == {0, 2 if what == "take" else 1} and check(ledger).faults == ()


def _once(function: Callable[..., Any]) -> Callable[..., Any]:
    made: list[Any] = []

    def kept(*arguments: Any, **named: Any) -> Any:
        if not made:
            made.append(function(*arguments, **named))
        return made[0]

    return kept
