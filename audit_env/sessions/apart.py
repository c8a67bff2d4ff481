"""The process of a game whose faces are elsewhere: `python -m audit_env.sessions.apart`, with its order on stdin."""

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audit_env.errors import AuditEnvError
from audit_env.sessions.hosting import ROOM_VARIABLE
from audit_env.sessions.journal import Journal

if TYPE_CHECKING:
    from inspect_ai import Task


def main() -> None:
    """Play what was ordered, and tell the room how it ended."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    journal, room = Journal.from_environment(), os.environ[ROOM_VARIABLE]
    from inspect_ai._util.error import PrerequisiteError

    try:
        order = json.load(sys.stdin)
        (_play_session if "file" in order else _play)(journal, room, order)
    except (AuditEnvError, PrerequisiteError) as error:
        journal.tell(room, str(error), "stopped")
    except Exception:
        # What it says may tell of the target: it is for who hosts the game, not for the players.
        traceback.print_exc()
        journal.tell(room, "The game failed. Who started it finds the reason where they started it.", "stopped")


def _play(journal: Journal, room: str, order: dict[str, Any]) -> None:
    from audit_env.sessions.playing import play_in_person
    from audit_env.sessions.trial import debriefing

    log = play_in_person(**order)
    now = journal.room(room)
    if log is None or log.status == "cancelled" or now.state == "stopped":
        return
    if log.error is not None or any(sample.error for sample in log.samples or ()):
        journal.tell(room, f"A target failed. The log says why: {log.location}", "stopped")
        return
    told = (now.told, debriefing(log) if order.get("trial") else "", f"All is played. The log: {log.location}")
    journal.tell(room, "\n\n".join(filter(None, told)), "over")


def _play_session(journal: Journal, room: str, order: dict[str, Any]) -> None:
    from audit_env.sessions.playing import play_in_person
    from audit_env.sessions.referee.ledger import Ledger
    from audit_env.sessions.referee.playing import play_seat

    name, log_dir = order["name"], order["log_dir"]

    def play(task: "Task", minutes: int) -> None:
        play_in_person(name, task, minutes=minutes, log_dir=log_dir, scored=False)

    ledger = Ledger(Path(order["file"]))
    play_seat(ledger, name, order["token"], Path(log_dir), play, lambda told: journal.tell(room, told))
    if (now := journal.room(room)).state != "stopped":
        journal.tell(room, now.told or "All is played.", "over")


if __name__ == "__main__":
    main()
