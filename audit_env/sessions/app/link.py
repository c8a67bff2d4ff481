"""A face's link to its room: what the game laid out, and the turns that are put for it to take."""

from dataclasses import replace
from typing import Any

from audit_env.sessions.clock import CLOSES, Clock
from audit_env.sessions.journal import Journal, Room
from audit_env.sessions.view import View


class Link:
    """The link of one player.

    Args:
        journal: The journal.
        room: The room's name.
        who: Who sits at this face.
    """

    def __init__(self, journal: Journal, room: str, who: str) -> None:
        self.who = who
        self.view: View | None = None
        """What lies before the players; None before the game begins."""
        self.waiting: list[tuple[str, str]] = []
        """Who put a turn that was not played yet, and the tool that it calls."""
        self._journal, self._name = journal, room
        self._changed = journal.watch()
        self.room: Room = replace(journal.room(room), version=-1, view="", seat=None)
        self._clock = Clock(0.0, None)

    def look(self) -> bool:
        """Read what is new.

        Returns:
            Whether anything is.
        """
        if not self._changed():
            return False
        before, laid_out, seconds = self.waiting, self.room.view, self._seconds
        version, self.room = self.room.version, self._journal.room(self._name)
        if self.room.view and (self.view is None or laid_out != self.room.view):
            self.view = View.model_validate_json(self.room.view)
        self._set_the_clock(seconds)
        # A turn that was taken is still being played until what came of it is laid out.
        seat, view = self.room.seat, self.view
        self.waiting = self._journal.not_played(seat, view.number) if seat and view and self._is_on else []
        return self.room.version != version or self.waiting != before

    def put(self, tool: str, arguments: dict[str, Any]) -> None:
        """Call a tool.

        Args:
            tool: Its name.
            arguments: Its arguments.

        Raises:
            SessionError: If the game goes on elsewhere, or it is a verdict and somebody else's came first.
        """
        if self.room.seat and self.view:
            since = self.view.number if tool in CLOSES else None
            self._journal.put(self.room.seat, self.who, tool, arguments, since)

    def draft(self, tool: str) -> dict[str, Any]:
        """What was typed into a tool's form."""
        return self._journal.draft(self.room.seat, self.who, tool) if self.room.seat else {}

    def keep_draft(self, tool: str, arguments: dict[str, Any]) -> None:
        """Keep what is typed into a tool's form, or with no arguments throw it away."""
        if self.room.seat:
            self._journal.keep_draft(self.room.seat, self.who, tool, arguments)

    def closed(self, tool: str) -> str | None:
        """Why a tool can no longer be called, or None."""
        return self._clock.closed(tool)

    def status(self) -> str:
        """Target, what is left and the time played, on one line."""
        if self.view is None:
            return ""
        return " | ".join(part for part in (self.view.alias, self.view.status, self._clock.told()) if part)

    @property
    def _is_on(self) -> bool:
        return self.room.state == "playing"

    @property
    def _seconds(self) -> float:
        return self.room.seat.seconds if self.room.seat else 0.0

    def _set_the_clock(self, before: float) -> None:
        """Set the clock by the game's, which is written down now and then and runs on from there."""
        limit = self.view.limit if self.view else None
        if self._seconds != before or limit != self._clock.limit:
            self._clock = Clock(self._seconds, limit)
        if self.room.present and self._is_on:
            self._clock.run()
        else:
            self._clock.stand()
