"""Where players are asked: at this process's own prompt, or in a room, at faces that are processes of their own."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import anyio
from inspect_ai.util import input_screen

from audit_env.sessions.clock import Clock
from audit_env.sessions.desk import Desk
from audit_env.sessions.errors import SessionError
from audit_env.sessions.journal import Journal, Room, Seat, Turn
from audit_env.sessions.terminal import Terminal
from audit_env.sessions.turns import Drafts, Left, take_turn

_PAUSE = 0.03
"""Seconds between two looks for a turn. A look that finds nothing new costs microseconds."""
_KEPT = 5.0
"""Seconds of play that a kill may lose of the clock."""


class Face(Protocol):
    """Where players are asked for turns."""

    async def ask(self, seat: Seat, clock: Clock, number: int, seen: str, desk: Desk) -> Turn:
        """Have a turn made.

        Args:
            seat: The players' place.
            clock: Of the game.
            number: Which turn, from 0.
            seen: What came since the last one.
            desk: What lies before the players.

        Returns:
            The turn, which is in the journal.

        Raises:
            Left: If the player leaves.
            SessionError: If the game goes on elsewhere.
        """
        ...

    def tell(self, text: str, *, over: bool = False) -> None:
        """Say something.

        Args:
            text: The text.
            over: Whether it is the last thing to be said of this target.
        """
        ...


class Prompt:
    """The prompt of the terminal that the game was started in.

    While a person types, nothing else of the eval runs: the terminal is theirs, and Ctrl-C must reach them.

    Args:
        player: Who sits there.
        journal: Where their turns are kept.
    """

    def __init__(self, player: str, journal: Journal) -> None:
        self._player, self._journal = player, journal
        self._begun = False

    async def ask(self, seat: Seat, clock: Clock, number: int, seen: str, desk: Desk) -> Turn:
        """Have a turn typed, unless one waits that was put before a kill."""
        if turn := self._journal.take(seat, number, seen, clock.played):
            return turn
        with input_screen(record_event=False), _interruptible():
            return self._typed(Terminal(), seat, clock, number, seen, desk)

    def tell(self, text: str, *, over: bool = False) -> None:
        """Say something, with lines left empty around the last thing."""
        with input_screen(record_event=False):
            Terminal().say(f"\n{text}\n" if over else f"\n{text}")

    def _typed(self, terminal: Terminal, seat: Seat, clock: Clock, number: int, seen: str, desk: Desk) -> Turn:
        clock.run()
        if not self._begun:
            self._begun = True
            terminal.say(self._welcome(seat, clock, number))
        elif (last := desk.last) and not last.refused:
            self._journal.keep_draft(seat, self._player, last.tool, {})
        # What is left stands above the prompt.
        terminal.say(f"\n{seen.removesuffix(desk.left())}")
        drafts = Drafts(
            get=lambda tool: self._journal.draft(seat, self._player, tool),
            keep=lambda tool, filled: self._keep(seat, clock, tool, filled),
        )
        try:
            tool, arguments = take_turn(terminal, desk, drafts, clock.told, clock.closed)
        except Left:
            self._journal.played(seat, clock.played)
            terminal.say("\nSaved. The same command takes you back here.")
            raise
        self._journal.put(seat, self._player, tool, arguments)
        if turn := self._journal.take(seat, number, seen, clock.played):
            return turn
        raise SessionError("This game goes on elsewhere: another process took your turn.")

    def _keep(self, seat: Seat, clock: Clock, tool: str, filled: dict[str, object]) -> None:
        self._journal.keep_draft(seat, self._player, tool, filled)
        self._journal.played(seat, clock.played)

    def _welcome(self, seat: Seat, clock: Clock, number: int) -> str:
        rule = "=" * 60
        if number:
            turns = f"{number} turn" if number == 1 else f"{number} turns"
            told = f"Welcome back, {self._player}. You have played {turns} in {clock.in_minutes}."
            return f"{rule}\n{told} (history shows them.) The last answer was:"
        again = "" if seat.attempt == 1 else " You have begun this game before; the log says so."
        return f"{rule}\nWelcome, {self._player}.{again} Type  help  to see how to play."


class Elsewhere:
    """A room, whose faces put turns into the journal.

    Args:
        room: Its name.
        journal: The journal.
    """

    def __init__(self, room: str, journal: Journal) -> None:
        self._room, self._journal = room, journal
        self._changed = journal.watch()
        self._parent = os.getppid()

    async def ask(self, seat: Seat, clock: Clock, number: int, seen: str, desk: Desk) -> Turn:
        """Lay out what the players see, and wait for one of them."""
        self._journal.lay_out(self._room, seat, desk.view(clock.limit).model_dump_json())
        kept = time.monotonic()
        while True:
            if self._changed():
                self._keep_time(clock, self._journal.room(self._room))
                if turn := self._put(seat, clock, number, seen):
                    return turn
            if time.monotonic() - kept > _KEPT:
                kept = time.monotonic()
                self._journal.played(seat, clock.played)
            if os.getppid() != self._parent:
                raise Left
            await anyio.sleep(_PAUSE)

    def tell(self, text: str, *, over: bool = False) -> None:
        """Say something to all."""
        self._journal.tell(self._room, text, "between" if over else "stopped")

    def _put(self, seat: Seat, clock: Clock, number: int, seen: str) -> Turn | None:
        for _, tool in self._journal.waiting(seat):
            why = clock.closed(tool)
            if why is None:
                return self._journal.take(seat, number, seen, clock.played)
            self._journal.throw_away(seat)
            self._journal.tell(self._room, why)
        return None

    @staticmethod
    def _keep_time(clock: Clock, room: Room) -> None:
        """Have the clock stand while nobody sits in the room."""
        if room.present:
            clock.run()
        else:
            clock.stand()


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C interrupt what is typed, where the event loop would keep it for itself."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
