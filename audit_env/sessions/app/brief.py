"""The brief."""

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from audit_env.sessions.app.pane import Pane
from audit_env.sessions.app.text import literal
from audit_env.sessions.view import View


class Brief(Pane):
    """What the players were told."""

    NAME = "Brief"
    KEY = "f2"

    def compose(self) -> ComposeResult:
        """Its parts."""
        with VerticalScroll(id="brief-text"):
            yield Static(literal("The game is being set up. This takes some seconds."))

    async def show(self, view: View) -> None:
        """Show the brief."""
        self.query_one(Static).update(literal(view.brief))

    def enter(self) -> None:
        """Go to the text, to scroll it."""
        self.go_to(self.query_one(VerticalScroll))
