"""A game in a process of its own, and the room in which it meets its faces.

Who hosts it starts it, starts it again when it was killed (the journal has every turn), and ends it. It ends itself
when who hosts it is gone.
"""

import json
import math
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from audit_env.sessions.journal import Journal, Room

ROOM_VARIABLE = "AUDIT_ENV_SESSION_ROOM"
"""Names the room that a game is played in; without it, players are asked at the prompt."""
_FAREWELL = 10
"""Seconds that a game has for writing its log when it is left. Its turns are in the journal already."""
_PAUSE = 0.2
"""Seconds between two looks at a game that is being scored."""
_MOST_KILLS = 3
"""How many times a game is started again."""


class Host:
    """Hosts one game. Used with `with`.

    Args:
        journal: The journal.
        order: What is played: the arguments of `audit_env.sessions.playing.play_in_person`, or those of `play_session`.
    """

    def __init__(self, journal: Journal, order: Mapping[str, Any]) -> None:
        self.journal = journal
        self.room = secrets.token_hex(8)
        """The room's name."""
        self._order = json.dumps(order).encode()
        self._kills = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Host":
        self.journal.open_room(self.room)
        self._start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        process = self._process
        if process:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_FAREWELL)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self.now.state != "stopped":
            self.troubles.unlink(missing_ok=True)
        self.journal.close_room(self.room)

    @property
    def now(self) -> Room:
        """The room as it is."""
        return self.journal.room(self.room)

    @property
    def troubles(self) -> Path:
        """Where the game writes what went wrong, for who hosts it: it may tell of the target."""
        return self.journal.path.parent / f"game-{self.room}.txt"

    def await_score(self, seconds: float = math.inf) -> None:
        """Let a report that is in be scored to its end, unless another target begins.

        Args:
            seconds: How long at most. What was not scored then is when the same game is started again.
        """
        deadline = time.monotonic() + seconds
        while self._process and self._process.poll() is None and self.now.state == "between":
            if time.monotonic() > deadline:
                return
            time.sleep(_PAUSE)

    def look(self) -> None:
        """Start the game again if it was killed; to be called now and then."""
        if self._process is None or self._process.poll() is None or self.now.state in ("over", "stopped"):
            return
        self._kills += 1
        if self._kills <= _MOST_KILLS:
            self.journal.tell(self.room, "The game was killed. It is being started again; no turn is lost.")
            self._start()
        else:
            self.journal.tell(self.room, "The game was killed again and again. No turn is lost.", "stopped")

    def _start(self) -> None:
        with self.troubles.open("ab") as troubles:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "audit_env.sessions.apart"],
                env={**os.environ, ROOM_VARIABLE: self.room},
                stdin=subprocess.PIPE,
                stdout=troubles,
                stderr=troubles,
                # Ctrl-C in the terminal is for the face.
                start_new_session=True,
            )
        # Not as an argument, which others on this machine could read: it may hold a token.
        if self._process.stdin:
            with self._process.stdin as order:
                order.write(self._order)
