"""Notes, which all players of one team share."""

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Input, Static

from audit_env.sessions.app.pane import Call, Pane
from audit_env.sessions.app.text import literal
from audit_env.sessions.view import View

TOOL = "note"


class Notes(Pane):
    """The notes so far, and a line for the next."""

    NAME = "Notes"
    KEY = "f7"

    _sent = ""

    def compose(self) -> ComposeResult:
        """Its parts."""
        with VerticalScroll(id="notes-list"):
            yield Static(literal("No notes yet."))
        yield Input(placeholder="a note, with ids such as x12; Enter keeps it", id="note", compact=True)

    async def show(self, view: View) -> None:
        """Show the notes."""
        self.query_one("#notes-list Static", Static).update(literal("\n".join(view.notes) or "No notes yet."))
        box = self.query_one("#note", Input)
        if not box.value and not box.has_focus:
            box.value = str(self.link.draft(TOOL).get("text", ""))

    def enter(self) -> None:
        """Go to the line."""
        self.go_to(self.query_one("#note", Input))

    def send(self) -> None:
        """Keep what stands in the line."""
        box = self.query_one("#note", Input)
        if box.value.strip():
            self.post_message(Call(TOOL, {"text": box.value}))
            self._sent = box.value
            box.clear()

    async def refused(self, tool: str) -> None:
        """Give back what was typed."""
        box = self.query_one("#note", Input)
        if tool == TOOL and not box.value:
            box.value = self._sent

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.send()

    @on(Input.Changed)
    def _keep(self, changed: Input.Changed) -> None:
        self.link.keep_draft(TOOL, {"text": changed.value} if changed.value else {})
