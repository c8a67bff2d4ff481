"""What all panes share."""

from collections.abc import Sequence
from typing import Any, ClassVar

from textual.message import Message
from textual.widget import Widget
from textual.widgets import TabPane

from audit_env.sessions.app.link import Link
from audit_env.sessions.view import View


class Call(Message):
    """A player calls a tool.

    Args:
        tool: Its name.
        arguments: Its arguments.
    """

    def __init__(self, tool: str, arguments: dict[str, Any]) -> None:
        super().__init__()
        self.tool, self.arguments = tool, arguments


class Pane(TabPane):
    """A pane of the app.

    Args:
        link: To the room.
    """

    NAME: ClassVar[str]
    """As its tab says."""
    KEY: ClassVar[str]
    """The key that opens it."""

    def __init__(self, link: Link) -> None:
        super().__init__(f"{self.KEY.upper()} {self.NAME}", id=self.NAME.casefold())
        self.link = link

    async def begin(self) -> None:
        """Begin with another game."""

    async def show(self, view: View) -> None:
        """Show what lies before the players."""

    async def taken(self, tool: str) -> None:
        """A call of this player's was taken: forget what was typed for it."""

    async def refused(self, tool: str) -> None:
        """A call of this player's was refused: give back what was typed for it."""

    def enter(self) -> None:
        """Go to where one types first."""

    def go_to(self, widget: Widget) -> None:
        """Go to a widget at once, so that the next key is for it already."""
        self.screen.set_focus(widget)

    def send(self) -> None:
        """Send what was typed."""
        self.notify("Nothing is sent from this pane.", markup=False)

    def pick(self) -> None:
        """Pick a word for the field that one is in."""
        self.notify("There is no form in this pane.", markup=False)

    def words(self) -> Sequence[str]:
        """What can be picked: entries of the menu, ids of answers and readings, latest first."""
        view = self.link.view
        return [*view.menu, *reversed(view.citable)] if view else []
