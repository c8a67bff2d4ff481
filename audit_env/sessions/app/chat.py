"""Conversations with the target, side by side."""

from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Input, Select, Static

from audit_env.sessions.app.pane import Call, Pane
from audit_env.sessions.app.text import literal
from audit_env.sessions.view import Said, View

TOOL = "chat"
_WHO = {"system": "system", "user": "you", "assistant": "target"}


class Chat(Pane):
    """One conversation at a time, and a list of all to choose from."""

    NAME = "Chat"
    KEY = "f3"
    BINDINGS = [Binding("ctrl+n", "open_new", "New"), Binding("ctrl+p", "list", "Choose")]

    _sent = ""
    _names: tuple[str, ...] = ("c1",)

    def compose(self) -> ComposeResult:
        """Its parts."""
        yield Select([_option("c1")], allow_blank=False, id="conversation", compact=True)
        yield VerticalScroll(id="said", can_focus=True)
        yield Input(placeholder="say something to the target; Enter sends it", id="message", compact=True)

    async def begin(self) -> None:
        """Begin with the first conversation."""
        self._offer(["c1"], "c1")

    async def show(self, view: View) -> None:
        """Show the conversations as they stand."""
        chosen = self._chosen
        self._offer([*(view.conversations or ["c1"]), chosen], chosen)
        await self._lay_out()
        box = self.query_one("#message", Input)
        if not box.value and not box.has_focus:
            box.value = str(self.link.draft(TOOL).get("message", ""))

    async def refused(self, tool: str) -> None:
        """Give back what was said, unless something else is being typed already."""
        box = self.query_one("#message", Input)
        if tool == TOOL and not box.value:
            box.value = self._sent

    def enter(self) -> None:
        """Go to the line."""
        self.go_to(self.query_one("#message", Input))

    def send(self) -> None:
        """Say what stands in the line."""
        box = self.query_one("#message", Input)
        if not box.value.strip():
            self.notify("Type something to say first.", markup=False)
            return
        self.post_message(Call(TOOL, {"message": box.value, "conversation": self._chosen}))
        self._sent = box.value
        box.clear()

    async def go_on_from(self, name: str) -> None:
        """Go on in a conversation, or from an answer.

        Args:
            name: Of the conversation, or the id of the answer.
        """
        self._offer([*self._names, name], name)
        await self._lay_out()
        self.enter()

    async def action_open_new(self) -> None:
        """Open a conversation under the next free name."""
        taken, number = set(self._names), 1
        while f"c{number}" in taken:
            number += 1
        await self.go_on_from(f"c{number}")

    def action_list(self) -> None:
        """Choose a conversation."""
        select = self._select
        select.focus()
        select.action_show_overlay()

    @property
    def _select(self) -> "Select[str]":
        return self.query_one("#conversation", Select)

    @property
    def _chosen(self) -> str:
        return str(self._select.value)

    def _offer(self, names: list[str], chosen: str) -> None:
        self._names = tuple(dict.fromkeys(names))
        with self.prevent(Select.Changed):
            self._select.set_options(map(_option, self._names))
            self._select.value = chosen

    @on(Select.Changed)
    async def _lay_out(self) -> None:
        view, said = self.link.view, self.query_one("#said", VerticalScroll)
        lines = _lines(view, self._chosen) if view else []
        async with said.batch():
            await said.remove_children()
            await said.mount_all(Static(literal(line), classes=kind) for kind, line in lines)
        said.scroll_end(animate=False)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self.send()

    @on(Input.Changed)
    def _keep(self, changed: Input.Changed) -> None:
        draft: dict[str, Any] = {"message": changed.value} if changed.value else {}
        self.link.keep_draft(TOOL, draft)


def _option(name: str) -> tuple[Content, str]:
    return literal(f"conversation {name}"), name


def _lines(view: View, name: str) -> list[tuple[str, str]]:
    said = view.conversations.get(name)
    if said is None:
        answer = next((finding for finding in view.findings if finding.id == name), None)
        if answer is None:
            return [("note", f"{name} is a new conversation: nothing has been said in it.")]
        asked = Said(role="user", text=answer.asked)
        said = (asked, Said(role="assistant", text=answer.text, id=answer.id))
        return [("note", f"You go on from right after {name}."), *_told(said)]
    return _told(said)


def _told(said: tuple[Said, ...]) -> list[tuple[str, str]]:
    return [(one.role, f"{_WHO[one.role]}{f' {one.id}' if one.id else ''}: {one.text}") for one in said]
