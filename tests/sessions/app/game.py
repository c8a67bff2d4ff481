"""A game of which a test lays out what the players see, and a player at the app, 80 by 24."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Literal

from inspect_ai.tool import ToolDef, ToolInfo
from inspect_ai.util import Store
from textual.message_pump import MessagePump
from textual.pilot import Pilot

from audit_env.auditors.llm.notebook import Notebook, note
from audit_env.game.record import AuditRecord, Budget, Exchange, Reading, Turn
from audit_env.sessions.app.link import Link
from audit_env.sessions.app.table import SessionApp
from audit_env.sessions.desk import Desk
from audit_env.sessions.journal import Journal
from audit_env.sessions.view import Made, View
from audit_env.tools import audit_tools

Seen = Callable[["Game", SessionApp, Pilot[str]], Awaitable[None]]

ROOM = "room"
PATIENCE = 60
"""Seconds after which a test has failed: far more than a busy machine needs."""
_HOPS = 12
"""Times that one message follows from another, at most, until all that a key does is done: it goes from the app to a
field, from there to the form, and from there to the pane."""
EVIL = "[red]rain[/red] \x1b[2J\u202e again"


@cache
def tools() -> dict[str, ToolInfo]:
    definitions = [ToolDef(tool) for tool in (*audit_tools("black_box", "menu"), note())]
    return {
        one.name: ToolInfo(name=one.name, description=one.description, parameters=one.parameters) for one in definitions
    }


class Game:
    """A game whose players see what the test lays out."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder)
        self.seat = self.journal.begin("key", 1, player="alice", sample="t-1", epoch=1, log="a.eval")
        self.record = AuditRecord(
            store=Store(),
            alias="t-1",
            menu=("gloom", "flattery", "none"),
            budget=Budget(tool_calls=9, target_tokens=900, auditor_tokens=9),
        )
        self.made: list[Made] = []
        self.notes = Notebook(store=Store())
        self.brief = "Find out. " * 80
        self.journal.open_room(ROOM)
        self.journal.sit_down(ROOM, ["alice"])

    def lay_out(self, limit: float | None = None, phase: Literal["first", "last"] = "last") -> None:
        """Lay out what there is. In the first phase of two, an interim verdict stands in the report's place."""
        view: View = Desk([], tools(), self.record, self.notes).view(limit)
        view = view.model_copy(update={"brief": self.brief, "made": tuple(self.made), "number": len(self.made)})
        if phase == "first":
            sheets = dict(view.tools)
            sheets["interim"] = sheets.pop("report").model_copy(update={"name": "interim"})
            view = view.model_copy(update={"tools": sheets})
        self.journal.lay_out(ROOM, self.seat, view.model_dump_json())

    def says(self, answer: str, asked: str = "hello", conversation: str = "c1") -> None:
        """Have the target answer in a conversation."""
        self.record.exchanges.append(
            Exchange(
                id=f"x{len(self.record.exchanges) + 1}",
                conversation=conversation,
                side="target",
                turns=(Turn(role="user", content=asked),),
                answer=answer,
                at_call=1,
            )
        )

    def reads(self, summary: str) -> None:
        """Have a tool read something."""
        self.record.readings.append(
            Reading(id=f"r{len(self.record.readings) + 1}", tool="cluster", summary=summary, at_call=1)
        )

    def takes(self, answer: str, *, refused: bool = False) -> tuple[str, dict[str, object]]:
        """Take the first turn that waits, and answer it."""
        turn = self.journal.take(self.seat, len(self.made), "", 1.0)
        assert turn is not None, "no turn was put"
        self.made.append(Made(who=turn.who, tool=turn.tool, arguments="", answer=answer, refused=refused))
        return turn.tool, turn.arguments

    def play(self, seen: Seen, who: str = "alice") -> None:
        """Sit somebody down at the app, for as long as `seen` lasts."""

        async def sit() -> None:
            app = SessionApp(Link(self.journal, ROOM, who))
            async with app.run_test(size=(80, 24), notifications=True) as pilot:
                await until(pilot, lambda: app.link.view is not None or not self.journal.room(ROOM).view)
                await seen(self, app, pilot)

        asyncio.run(sit())


async def press(pilot: Pilot[str], *keys: str) -> None:
    """Press keys, each when all that the one before it does is done.

    Textual's own `press` waits until the process does nothing: so it does where other processes have the processor.
    """
    for key in keys:
        await pilot.press(key)
        await settled(pilot)


async def settled(pilot: Pilot[str]) -> None:
    """Let all that waits be handled, and what follows from it."""
    for _ in range(_HOPS):
        handled: set[MessagePump] = set()

        def note(pump: MessagePump, handled: set[MessagePump] = handled) -> None:
            handled.add(pump)

        waited_for = [pump for pump in _pumps(pilot) if pump.call_later(note, pump)]
        deadline = time.monotonic() + PATIENCE
        # What is removed meanwhile handles nothing any more.
        while any(pump.is_running and pump not in handled for pump in waited_for):
            assert time.monotonic() < deadline, "messages are not handled"
            await asyncio.sleep(0)


def _pumps(pilot: Pilot[str]) -> Iterator[MessagePump]:
    """All that handles what comes of a key: the app, its screens, and where one types with all that it is a part of."""
    app = pilot.app
    yield app
    for one in app.screen_stack if app.is_running else ():
        yield from one.focused.ancestors_with_self if one.focused else (one,)


async def until(pilot: Pilot[str], is_so: Callable[[], bool]) -> None:
    """Let the app go on until something is so."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        await pilot.pause(0.05)
        if is_so():
            await settled(pilot)
            await pilot.pause()
            return
    raise AssertionError(f"It did not come about:\n{screen(pilot.app)}")


async def shows(app: SessionApp, pilot: Pilot[str], text: str) -> None:
    """Wait until a text is on the screen."""
    await until(pilot, lambda: text in screen(app))


def screen(app: object) -> str:
    """What is on the screen, as lines of characters."""
    assert isinstance(app, SessionApp)
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)
