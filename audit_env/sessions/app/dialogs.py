"""Dialogs that lie over the panes. Escape leads back from each."""

from collections.abc import Sequence
from typing import TypeVar

from textual import on
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, OptionList, Static

from audit_env.sessions.app.text import cell, literal
from audit_env.sessions.view import Made

Result = TypeVar("Result")


class Dialog(ModalScreen[Result]):
    """A dialog that closes itself and no other."""

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """Close it, unless another one came to lie over it since the key was struck: Textual would close that one.

        Args:
            result: What it gives.

        Returns:
            What waits for its end.
        """
        return super().dismiss(result) if self.is_active else AwaitComplete()


class Told(Dialog[None]):
    """A text to read.

    Args:
        title: What it is.
        text: The text.
    """

    BINDINGS = [Binding("escape,enter", "dismiss", "Back")]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        """Its parts."""
        with VerticalScroll(classes="dialog"):
            yield Static(literal(self._title), classes="title")
            yield Static(literal(self._text), classes="told")
        yield Footer()


class Sure(Dialog[bool]):
    """A question before something that cannot be taken back.

    Args:
        title: The question.
        text: What is at stake.
    """

    BINDINGS = [Binding("y", "dismiss(True)", "Yes"), Binding("n,escape", "dismiss(False)", "No, go back")]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        """Its parts."""
        with VerticalScroll(classes="dialog"):
            yield Static(literal(f"{self._title} (y or n)"), classes="title")
            yield Static(literal(self._text), classes="told")
        yield Footer()


class Pick(Dialog[str | None]):
    """A word to pick: type a part of it, go to it, and press Enter.

    Args:
        words: The words.
    """

    BINDINGS = [Binding("escape", "dismiss", "Back"), Binding("down", "list", "To the list", show=False)]

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__()
        self._words = list(words)

    def compose(self) -> ComposeResult:
        """Its parts."""
        with VerticalScroll(classes="dialog", can_focus=False):
            yield Input(placeholder="type a part; Enter takes the first, Down goes to the list", compact=True)
            yield OptionList(*map(literal, self._words), markup=False, compact=True)
        yield Footer()

    @property
    def _fitting(self) -> list[str]:
        part = self.query_one(Input).value.strip().casefold()
        return [word for word in self._words if part in word.casefold()]

    def action_list(self) -> None:
        """Go to the list."""
        self.query_one(OptionList).focus()

    @on(Input.Changed)
    def _narrow(self) -> None:
        self.query_one(OptionList).clear_options().add_options(map(literal, self._fitting))

    @on(Input.Submitted)
    def _take_first(self) -> None:
        if self._fitting:
            self.dismiss(self._fitting[0])

    @on(OptionList.OptionSelected)
    def _take(self, chosen: OptionList.OptionSelected) -> None:
        self.dismiss(self._fitting[chosen.option_index])


class History(Dialog[None]):
    """What was done so far, and by whom; Enter shows all of a turn, and words find the turns that have them.

    Args:
        made: The turns.
    """

    BINDINGS = [Binding("escape", "dismiss", "Back"), Binding("down", "list", "To the list", show=False)]

    def __init__(self, made: Sequence[Made]) -> None:
        super().__init__()
        self._made = list(enumerate(made, 1))

    def compose(self) -> ComposeResult:
        """Its parts."""
        with VerticalScroll(classes="dialog", can_focus=False):
            yield Input(placeholder="words that a turn must have; Enter goes to the list", compact=True)
            table: DataTable[object] = DataTable(cursor_type="row")
            table.add_columns("turn", "who", "tool", "arguments", "answer")
            yield table
        yield Footer()

    def on_mount(self) -> None:
        """List all."""
        self._list()

    @property
    def _fitting(self) -> list[tuple[int, Made]]:
        words = self.query_one(Input).value.casefold().split()
        return [
            (number, made)
            for number, made in self._made
            if all(word in f"{made.tool} {made.arguments} {made.answer}".casefold() for word in words)
        ]

    def action_list(self) -> None:
        """Go to the list."""
        self.query_one(DataTable).focus()

    @on(Input.Changed)
    def _list(self) -> None:
        table = self.query_one(DataTable)
        table.clear()
        for number, made in self._fitting:
            cells = (str(number), made.who, made.tool, made.arguments, made.answer)
            table.add_row(*map(cell, cells), key=str(number))

    @on(Input.Submitted)
    def _to_list(self) -> None:
        self.action_list()

    @on(DataTable.RowSelected)
    def _show(self, chosen: DataTable.RowSelected) -> None:
        made = dict(self._made)[int(chosen.row_key.value or 0)]
        self.app.push_screen(Told(f"{made.tool} {made.arguments} (by {made.who})", made.answer))
