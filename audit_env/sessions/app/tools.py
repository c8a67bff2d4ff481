"""The tools, with a form for each."""

from collections.abc import Mapping
from typing import Any

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from audit_env.sessions.app.checks import wrong_in
from audit_env.sessions.app.forms import Changed, Form, focus_in
from audit_env.sessions.app.pane import Call, Pane
from audit_env.sessions.app.text import literal
from audit_env.sessions.clock import CLOSES
from audit_env.sessions.view import ToolSheet, View

_HOW = "Choose a tool and press Enter."


class FormPane(Pane):
    """A pane with the form of one tool at a time, whose draft is kept."""

    tool: str = ""
    """The tool that the form is of; empty for none."""

    @property
    def form(self) -> Form:
        """The form."""
        return self.query_one(Form)

    @property
    def sheet(self) -> ToolSheet | None:
        """What the form is of; None where there is no such tool now."""
        return self.link.view.tools.get(self.tool) if self.link.view else None

    async def begin(self) -> None:
        """Fill the form in with the draft."""
        await self.fill(self.link.draft(self.tool))

    async def fill(self, values: Mapping[str, Any]) -> None:
        """Fill the form in anew.

        Args:
            values: What stands in it.
        """
        focused = self.screen.focused
        was_here = focused is not None and self.form in focused.ancestors
        with self.prevent(Changed):
            await self.form.ask(self.sheet.fields if self.sheet else (), values)
        if was_here:
            # The field is gone, and what is typed next would be taken for names of panes.
            focus_in(self.form)

    async def refill(self, values: Mapping[str, Any]) -> None:
        """The same, and keep it as the draft."""
        self.link.keep_draft(self.tool, dict(values))
        await self.fill(values)

    async def taken(self, tool: str) -> None:
        """Empty the form."""
        if tool == self.tool:
            await self.refill({})

    def is_valid(self) -> bool:
        """Whether the form can be sent; what cannot is said in it."""
        view = self.link.view
        return self.sheet is not None and self.form.is_valid(lambda typed: wrong_in(typed, view) if view else {})

    def send(self) -> None:
        """Call the tool."""
        if self.sheet is None:
            self.notify("Choose a tool first.", markup=False)
        elif self.is_valid():
            self.post_message(Call(self.tool, self.form.typed()))

    def pick(self) -> None:
        """Pick a word for the field that one is in."""
        self.form.pick()

    @on(Changed)
    def _keep(self) -> None:
        self.link.keep_draft(self.tool, self.form.typed())


class Tools(FormPane):
    """All tools but those that have a pane of their own."""

    NAME = "Tools"
    KEY = "f4"
    ELSEWHERE = frozenset({"track", "note", *CLOSES})

    def compose(self) -> ComposeResult:
        """Its parts."""
        with Horizontal():
            yield OptionList(markup=False, id="tool-list", compact=True)
            with VerticalScroll(id="tool-form", can_focus=False):
                yield Static(literal(_HOW), id="tool-name")
                yield Form(self.words)
                yield Static(id="tool-about")

    async def show(self, view: View) -> None:
        """List the tools."""
        names = [name for name in view.tools if name not in self.ELSEWHERE]
        options = self.query_one("#tool-list", OptionList)
        if [option.id for option in options.options] != names:
            options.clear_options()
            options.add_options(Option(literal(name), id=name) for name in names)
            options.highlighted = 0
            await self._choose("")

    def enter(self) -> None:
        """Go to the form, or to the list where no tool was chosen."""
        if self.tool:
            focus_in(self.form)
        else:
            self.go_to(self.query_one("#tool-list", OptionList))

    @on(OptionList.OptionSelected, "#tool-list")
    @work(exclusive=True)
    async def _chosen(self, chosen: OptionList.OptionSelected) -> None:
        await self._choose(str(chosen.option_id))
        focus_in(self.form)

    async def _choose(self, tool: str) -> None:
        self.tool = tool
        self.query_one("#tool-name", Static).update(literal(f"{tool}: fill in, Ctrl+S sends" if tool else _HOW))
        self.query_one("#tool-about", Static).update(literal(self.sheet.about if self.sheet else ""))
        await self.fill(self.link.draft(tool) if tool else {})
