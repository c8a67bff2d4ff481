"""Forms made from the tools' schemas. What is typed into one is kept as a draft until the tool took it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.suggester import SuggestFromList
from textual.widget import Widget
from textual.widgets import Footer, Input, OptionList, Select, Static, TextArea

from audit_env.sessions.app.dialogs import Dialog, Pick
from audit_env.sessions.app.text import literal
from audit_env.sessions.fields import Field, shown, value_of

Words = Callable[[], Sequence[str]]
"""Gives what can be picked: entries of the menu, ids of answers and readings."""
Invalid = dict[str, str]
"""What is wrong with a form, by the names of its fields."""

_ADD = "+ add one"


class Changed(Message):
    """Something was typed into a form."""


class Entry(Vertical):
    """One field of a form: what it asks for, where one types, and what is wrong with it.

    Args:
        field: The field.
        value: What stands in it.
        words: What can be picked.
    """

    DEFAULT_CLASSES = "entry"

    def __init__(self, field: Field, value: Any, words: Words) -> None:
        super().__init__()
        self.field = field
        self._value, self._words = value, words
        self._records: list[dict[str, Any]] = list(value) if field.kind == "records" and _is_list(value) else []

    def compose(self) -> ComposeResult:
        """Its parts."""
        field = self.field
        mark = " (required)" if field.required else ""
        yield Static(literal(f"{field.name}{mark}: {field.about}"), classes="about")
        if field.kind == "records":
            yield OptionList(*self._options(), markup=False, compact=True)
        elif field.kind == "texts":
            yield TextArea("\n".join(map(str, self._value)) if _is_list(self._value) else "", compact=True)
        elif field.choices or field.kind == "yes or no":
            choices = field.choices or ("yes", "no")
            chosen = shown(self._value) if self._value is not None and shown(self._value) in choices else Select.NULL
            yield Select(
                [(literal(one), one) for one in choices],
                value=chosen,
                prompt=f"({shown(field.default)})" if field.default is not None else "(choose)",
                compact=True,
            )
        else:
            yield Input(
                "" if self._value is None else str(self._value),
                placeholder=_hint(field),
                suggester=SuggestFromList(self._words()) if field.kind == "text" else None,
                compact=True,
            )
        yield Static(classes="wrong")

    @property
    def raw(self) -> Any:
        """What stands in the field, right or wrong; None where it is empty."""
        if self.field.kind == "records":
            return self._records or None
        control = self.query_one("Input, TextArea, Select")
        if isinstance(control, Input):
            try:
                return value_of(self.field, control.value) if control.value.strip() else None
            except ValueError:
                return control.value
        if isinstance(control, TextArea):
            return [line.strip() for line in control.text.splitlines() if line.strip()] or None
        chosen = cast("Select[str]", control).value
        return None if chosen is Select.NULL else value_of(self.field, str(chosen))

    def wrong(self) -> str:
        """What is wrong with what stands in the field; empty where nothing is."""
        value = self.raw
        if value is None:
            return "This is required." if self.field.required else ""
        if self.field.kind in ("number", "whole number") and isinstance(value, str):
            try:
                value_of(self.field, value)
            except ValueError as error:
                return str(error)
        for place, record in enumerate(self._records, 1):
            for part in self.field.parts:
                if part.required and part.name not in record:
                    return f"{place} has no {part.name}: press Enter on it to fill it in."
        return ""

    def complain(self, what: str) -> None:
        """Show what is wrong with it; nothing for an empty text."""
        self.query_one(".wrong", Static).update(literal(f"! {what}" if what else ""))
        self.set_class(bool(what), "-wrong")

    def take(self, word: str) -> None:
        """Take a word that was picked: into a list as one more, into a text in place of what stood there."""
        control = self.query_one("Input, TextArea")
        if isinstance(control, TextArea):
            control.text = "\n".join([*(line for line in control.text.splitlines() if line.strip()), word])
        elif isinstance(control, Input):
            control.value = word

    @property
    def takes_words(self) -> bool:
        """Whether a word can be picked for it."""
        return self.field.kind == "texts" or (self.field.kind == "text" and not self.field.choices)

    @on(OptionList.OptionSelected)
    def _open(self, chosen: OptionList.OptionSelected) -> None:
        place = chosen.option_index
        record = self._records[place] if place < len(self._records) else {}

        def keep(filled: dict[str, Any] | None) -> None:
            if filled is not None:
                self._records[place : place + 1] = [filled] if filled else []
                self._list()

        self.app.push_screen(RecordDialog(self.field, record, self._words), keep)

    def _list(self) -> None:
        options = self.query_one(OptionList)
        options.clear_options().add_options(self._options())
        options.highlighted = 0
        self.post_message(Changed())

    def _options(self) -> list[Content]:
        return [*(literal(f"{place}. {shown(one)}") for place, one in enumerate(self._records, 1)), literal(_ADD)]

    @on(Input.Changed)
    @on(TextArea.Changed)
    @on(Select.Changed)
    def _typed(self) -> None:
        self.complain("")
        self.post_message(Changed())


class Form(Vertical):
    """A form of several fields.

    Args:
        words: What can be picked.
        id: Its id.
    """

    def __init__(self, words: Words, id: str | None = None) -> None:
        super().__init__(id=id)
        self._words = words

    async def ask(self, fields: Sequence[Field], values: Mapping[str, Any]) -> None:
        """Ask for fields in place of those before.

        Args:
            fields: The fields.
            values: What stands in them.
        """
        async with self.batch():
            await self.remove_children()
            await self.mount_all([Entry(field, values.get(field.name), self._words) for field in fields])

    @property
    def entries(self) -> list[Entry]:
        """Its fields."""
        return list(self.query_children(Entry))

    def typed(self) -> dict[str, Any]:
        """What was typed, right or wrong. Fields that are empty have no entry."""
        return {entry.field.name: value for entry in self.entries if (value := entry.raw) is not None}

    def is_valid(self, check: Callable[[Mapping[str, Any]], Invalid] = lambda typed: {}) -> bool:
        """Whether what was typed can be sent. What cannot is said beside the fields, and the first of them is gone to.

        Args:
            check: Says what else is wrong.
        """
        wrong = check(self.typed())
        faulty = []
        for entry in self.entries:
            what = entry.wrong() or wrong.get(entry.field.name, "")
            entry.complain(what)
            if what:
                faulty.append(entry)
        if faulty:
            focus_in(faulty[0])
        return not faulty

    def pick(self) -> None:
        """Have a word picked for the field that one is in."""
        focused = self.screen.focused
        entry = next((one for one in self.entries if focused and one in focused.ancestors), None)
        if entry is None or not entry.takes_words:
            self.notify("Go to a field of text first; then pick an entry of the menu or an id for it.", markup=False)
            return
        self.app.push_screen(Pick(self._words()), lambda word: entry.take(word) if word else None)


class RecordDialog(Dialog[dict[str, Any] | None]):
    """One record of a list. Gives the record, an empty one where it is to be deleted, or None to leave all as it was.

    Args:
        field: The list.
        record: What stands in the record.
        words: What can be picked.
    """

    BINDINGS = [
        Binding("ctrl+s", "keep", "Keep"),
        Binding("ctrl+o", "pick", "Pick a word"),
        Binding("ctrl+r", "remove", "Remove"),
        Binding("escape", "dismiss", "Back"),
    ]

    def __init__(self, field: Field, record: Mapping[str, Any], words: Words) -> None:
        super().__init__()
        self._field, self._record = field, record
        self._form = Form(words)

    def compose(self) -> ComposeResult:
        """Its parts."""
        with VerticalScroll(classes="dialog", can_focus=False):
            yield Static(literal(f"{self._field.name}: {self._field.about}"), classes="title")
            yield self._form
        yield Footer()

    async def on_mount(self) -> None:
        """Fill the form in."""
        await self._form.ask(self._field.parts, self._record)
        focus_in(self._form)

    def action_keep(self) -> None:
        """Keep the record, if it is valid."""
        if self._form.is_valid():
            self.dismiss(self._form.typed())

    def action_pick(self) -> None:
        """Pick a word for the field one is in."""
        self._form.pick()

    def action_remove(self) -> None:
        """Delete the record."""
        self.dismiss({})


def focus_in(widget: Widget) -> None:
    """Go to the first place in a widget where one can type or choose."""
    for child in widget.query("Input, TextArea, Select, OptionList"):
        if child.focusable:
            widget.screen.set_focus(child)
            return


def _hint(field: Field) -> str:
    kind = "" if field.kind == "text" else field.kind
    default = f"{shown(field.default)} if empty" if field.default not in (None, "", []) else ""
    return "; ".join(part for part in (kind, default or ("" if field.required else "optional")) if part) or "text"


def _is_list(value: Any) -> bool:
    return isinstance(value, list)
