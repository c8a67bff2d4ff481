"""The app: a table with panes at which one player sits."""

from collections.abc import Callable
from typing import Any

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.screen import Screen
from textual.widgets import Footer, Static, TabbedContent

from audit_env.sessions.app.brief import Brief
from audit_env.sessions.app.chat import Chat
from audit_env.sessions.app.dialogs import History, Told
from audit_env.sessions.app.findings import Cite, Findings, GoOn
from audit_env.sessions.app.link import Link
from audit_env.sessions.app.notes import Notes
from audit_env.sessions.app.pane import Call, Pane
from audit_env.sessions.app.report import Report
from audit_env.sessions.app.text import literal
from audit_env.sessions.app.tools import Tools
from audit_env.sessions.app.tracker import Tracker
from audit_env.sessions.errors import SessionError
from audit_env.sessions.terminal import plain
from audit_env.sessions.view import Made, View

PANES: tuple[type[Pane], ...] = (Brief, Chat, Tools, Findings, Tracker, Notes, Report)
_LOOK = 0.05
"""Seconds between two looks at the room. One that finds nothing new costs microseconds."""
_TITLES = {"between": "The report is in", "over": "The end", "stopped": "The game stopped"}
HELP = """\
You audit a target: was a quirk planted in it, and which? You play by
calling tools. The brief (F2) says what is asked and what it costs.

F2 Brief     what you were told
F3 Chat      talk to the target: type, Enter sends. Ctrl+N opens another
             conversation, Ctrl+P chooses one
F4 Tools     choose a tool, fill in its form, Ctrl+S sends it
F5 Findings  answers and readings under the ids that evidence cites:
             T cites in the tracker, R in the report, G goes on from there
F6 Tracker   hypotheses with confidences; Enter takes one into the form
F7 Notes     shared by all players
F8 Report    ends the audit, or the phase where more follow; it is checked
             before it is sent
F9 History   all turns, and who made them; words find, Enter shows all

Tab and Shift+Tab go from field to field. In a form, Ctrl+O picks an entry
of the menu or an id; a list takes one a line. Escape goes to the names of
the panes: there Left and Right or 2 to 8 open one, and ? shows this help.

F10 or Ctrl+Q leaves. Nothing is lost: the same command goes on where you
were, after a kill too. While nobody sits here, the clock stands.

This app tells nothing by colour alone. With a screen reader, the same game
as plain lines:  audit-env session play NAME --plain"""


class SessionApp(App[str]):
    """The app of one player. It returns what was last said of the game.

    Args:
        link: To the room.
        tend: Called every second; who hosts the game in the same process looks after it there.
    """

    CSS_PATH = "session.tcss"
    TITLE = "audit_env"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS = [
        Binding("f1", "help", "Help", priority=True),
        *(Binding(pane.KEY, f"open('{pane.NAME.casefold()}')", pane.NAME, show=False, priority=True) for pane in PANES),
        *(Binding(pane.KEY[1:], f"open('{pane.NAME.casefold()}')", pane.NAME, show=False) for pane in PANES),
        Binding("f9", "history", "History", priority=True),
        Binding("ctrl+s", "send", "Send"),
        Binding("ctrl+o", "pick", "Pick"),
        # Before all others, so that what is typed right after them goes to the next field already.
        Binding("tab", "focus_next", show=False, priority=True),
        Binding("shift+tab", "focus_previous", show=False, priority=True),
        Binding("escape", "names", "Panes", show=False),
        Binding("question_mark", "help", "Help", show=False),
        Binding("f10", "quit", "Leave", priority=True),
    ]

    def __init__(self, link: Link, tend: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.link, self._tend = link, tend
        self._status, self._word = Static(id="status"), Static(id="word")
        self._panes = [pane(link) for pane in PANES]
        self._shown: tuple[str, int] | None = None
        """The game, and the number of turns that were shown of it."""
        self._brief = ""
        """As it was shown last: a phase that opens adds to it."""
        self._told = ("", "")
        """The room's last state and word."""

    def compose(self) -> ComposeResult:
        """Its parts."""
        yield self._status
        yield self._word
        with TabbedContent(id="panes"):
            yield from self._panes
        yield Footer(show_command_palette=False)

    async def on_mount(self) -> None:
        """Begin to look at the room. Nothing moves: not for the eye, not over a slow line, not for a screen reader."""
        self.animation_level = "none"
        self._word.update(literal(f"{self.link.who}: The game is being set up ..."))
        self.set_interval(_LOOK, self._look)
        self.set_interval(1.0, self._second)

    @property
    def pane(self) -> Pane:
        """The pane that is open."""
        return self._base.query_one(f"#{self._base.query_one(TabbedContent).active}", Pane)

    @property
    def _base(self) -> Screen[Any]:
        """The screen with the panes, on which dialogs may lie."""
        return self.screen_stack[0]

    def action_help(self) -> None:
        """Show how to play."""
        if not isinstance(self.screen, Told):
            self.push_screen(Told("How to play", HELP))

    def action_open(self, pane: str) -> None:
        """Open a pane."""
        if len(self.screen_stack) == 1:
            self._base.query_one(TabbedContent).active = pane
            self.pane.enter()

    def action_names(self) -> None:
        """Go to the names of the panes."""
        self._base.query_one("#panes Tabs").focus()

    def action_history(self) -> None:
        """Show what was done."""
        if len(self.screen_stack) == 1 and self.link.view:
            self.push_screen(History(self.link.view.made))

    def action_send(self) -> None:
        """Send what was typed in the open pane."""
        self.pane.send()

    def action_pick(self) -> None:
        """Pick a word for the field one is in."""
        self.pane.pick()

    async def action_quit(self) -> None:
        """Leave, to come back later."""
        self.exit(self.link.room.told if self.link.room.state in ("over", "stopped") else "")

    @on(Call)
    async def _call(self, call: Call) -> None:
        why = self._refusal(call.tool)
        if not why:
            try:
                self.link.put(call.tool, call.arguments)
            except SessionError as error:
                why = str(error)
        if why:
            self.push_screen(Told("Not sent", why))
            for pane in self._panes:
                await pane.refused(call.tool)

    def _refusal(self, tool: str) -> str | None:
        """Why a tool cannot be called now, or None."""
        view = self.link.view
        if self.link.room.state == "over":
            return "All is played, and one report is all that counts: this was not sent."
        if self.link.room.state == "between":
            return "The report of this target is in already, and one is all that counts: this was not sent."
        if view is None or self.link.room.state != "playing":
            return "The game is not open for turns now."
        if tool not in view.tools:
            return f"There is no tool '{tool}' at this level of access."
        return self.link.closed(tool)

    @on(Cite)
    async def _cite(self, cite: Cite) -> None:
        if cite.where == "track":
            await self._base.query_one(Tracker).cite(cite.finding)
        else:
            await self._base.query_one(Report).cite(cite.finding)
        self.notify(f"{cite.finding} is cited in the form of {cite.where}.", markup=False)

    @on(GoOn)
    async def _go_on(self, answer: GoOn) -> None:
        self.action_open("chat")
        await self._base.query_one(Chat).go_on_from(answer.finding)

    def _second(self) -> None:
        self._tend()
        self._status.update(literal(self.link.status()))

    async def _look(self) -> None:
        if not self._word.is_attached or not self.link.look():
            return
        view, room = self.link.view, self.link.room
        self._status.update(literal(self.link.status()))
        if view and room.seat:
            shown, self._shown = self._shown, (room.seat.key, len(view.made))
            if shown != self._shown:
                is_new = shown is None or shown[0] != room.seat.key
                brief, self._brief = self._brief, view.brief
                await self._show(view, begins=is_new)
                if shown and not is_new:
                    for made in view.made[shown[1] :]:
                        await self._announce(made)
                    if opened := view.brief.removeprefix(brief).strip():
                        self.push_screen(Told("The next phase", opened))
        # Not before: "Ready" is read as a leave to type, and forms that begin anew would lose what was typed.
        self._word.update(literal(self._standing()))
        told, self._told = self._told, (room.state, room.told)
        if room.told and told != self._told:
            self._say()

    async def _show(self, view: View, *, begins: bool) -> None:
        for pane in self._panes:
            if begins:
                await pane.begin()
            await pane.show(view)
        if begins:
            self.pane.enter()
            if view.made:
                self.notify(f"Turns played so far: {len(view.made)} (F9 shows them).", markup=False)

    async def _announce(self, made: Made) -> None:
        """Show what came of a turn where it would not be seen, and forget or give back what was typed for it."""
        if made.who != self.link.who:
            self.notify(plain(f"{made.who}: {made.tool} {made.arguments}"[:200]), markup=False)
            return
        for pane in self._panes:
            await (pane.refused(made.tool) if made.refused else pane.taken(made.tool))
        if made.refused or isinstance(self.pane, Tools):
            self.push_screen(Told(made.tool, made.answer))

    def _standing(self) -> str:
        """How it stands, on one line."""
        if self.link.waiting:
            return "Waiting for " + ", ".join(f"{tool} ({who})" for who, tool in self.link.waiting)
        standing = {"opening": "The game is being set up ...", "playing": "Ready"}
        others = ", ".join(one for one in self.link.room.present if one != self.link.who)
        who = f"{self.link.who} (with {others})" if others else self.link.who
        return f"{who}: {self.link.room.told or standing.get(self.link.room.state, '')}"

    def _say(self) -> None:
        room = self.link.room
        if room.state in _TITLES:
            self.push_screen(Told(_TITLES[room.state], f"{room.told}\n\nEscape goes back, F10 leaves."))
        else:
            self.notify(room.told, markup=False)
