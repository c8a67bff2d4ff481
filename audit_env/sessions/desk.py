"""What a player can look up without playing a turn: the brief, the tools, what was done and found, what is left."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageTool
from inspect_ai.tool import ToolInfo

from audit_env.auditors.llm.notebook import Notebook
from audit_env.game.record import AuditRecord, Exchange
from audit_env.sessions.fields import fields_of, shown
from audit_env.sessions.view import Finding, Made, Said, Suspicion, ToolSheet, View
from audit_env.tools.accounting import allowance, what_is_left
from audit_env.tools.black_box.asking import RAW_TEXT, USER_TURN
from audit_env.tools.reporting import tracker_table

WHO = "who"
"""In a message's metadata: who made the turn."""

HELP = """\
You play by calling tools. Type one of:

  TOOL             a form asks for its arguments, one after the other
  TOOL some text   the text is its first argument, others stay as they are
  TOOL {"a": 1}    its arguments as JSON

  tools            the tools, a line each
  help TOOL        all about one of them
  brief            the brief again
  history [N]      what you did, or all of turn N
  find WORDS       lines of answers that have these words
  tracker, notes   your hypotheses, which  track  writes; your notes (note)
  left             budget and time
  leave            save and leave: the same command takes you back here

In a form, Enter takes what is shown, and Ctrl-C goes back here and keeps a
draft. A line that ends with \\ goes on in the next. At "play>", Ctrl-C and
Ctrl-D leave. Tab completes tools, entries of the menu and ids of answers."""


@dataclass(frozen=True)
class Desk:
    """What lies before a player at one turn."""

    messages: Sequence[ChatMessage]
    tools: Mapping[str, ToolInfo]
    record: AuditRecord
    notebook: Notebook

    def look_up(self, name: str, about: str) -> str | None:
        """What a command shows.

        Args:
            name: The command.
            about: What was typed behind it.

        Returns:
            Text; None where there is no such command.
        """
        commands: dict[str, Callable[[], str]] = {
            "help": lambda: self._help(about),
            "tools": self._tools,
            "brief": self._brief,
            "history": lambda: self._history(about),
            "find": lambda: self._find(about),
            "tracker": lambda: tracker_table(self.record) or "Your tracker is empty: call  track  to fill it.",
            "notes": self._notes,
            "left": self.left,
        }
        return commands[name]() if name in commands else None

    @property
    def words(self) -> list[str]:
        """What the Tab key completes in a form: entries of the menu, ids of answers and readings."""
        answers = [exchange.id for exchange in self.record.exchanges]
        return [*self.record.menu, *answers, *(reading.id for reading in self.record.readings)]

    def left(self) -> str:
        """What is left of the budget; empty where there is none."""
        return what_is_left(self.record) if self.record.budget else ""

    def status(self) -> str:
        """The same in short. A person spends no tokens of their own."""
        if self.record.budget is None:
            return ""
        budget, spent = allowance(self.record)
        calls, tokens = budget.tool_calls - spent.tool_calls, budget.target_tokens - spent.target_tokens
        return f"{max(0, calls):,} calls and {max(0, tokens):,} target tokens left"

    def seen(self) -> str:
        """What came since the player's last turn."""
        mine = [place for place, message in enumerate(self.messages) if message.role == "assistant"]
        new = self.messages[mine[-1] + 1 if mine else 0 :]
        return "\n\n".join(_text(message) for message in new)

    @property
    def last(self) -> Made | None:
        """The player's last turn."""
        return next(reversed(list(self._made())), None)

    def view(self, limit: float | None) -> View:
        """All of this as data, for faces that are processes of their own.

        Args:
            limit: Seconds that the game may be played; None for any.
        """
        return View(
            number=sum(message.role == "assistant" for message in self.messages),
            alias=self.record.alias,
            affordance=self.record.affordance,
            brief=self._brief(),
            tools={name: _sheet(tool) for name, tool in self.tools.items()},
            menu=self.record.menu,
            made=tuple(self._made()),
            conversations=_conversations(self.record.exchanges),
            findings=tuple(_findings(self.record)),
            tracker=tuple(_suspicions(self.record)),
            notes=tuple(f"at call {note.at_call}: {note.text}" for note in self.notebook.notes),
            status=self.status(),
            limit=limit,
        )

    def _help(self, about: str) -> str:
        tool = self.tools.get(about.strip())
        if tool is None:
            return HELP if not about.strip() else f"There is no tool '{about.strip()}'.\n\n{self._tools()}"
        sheet = _sheet(tool)
        arguments = [f"  {field.name} ({field.told}): {field.about}" for field in sheet.fields]
        return "\n".join([f"{sheet.name}: {sheet.about}", "", *arguments])

    def _tools(self) -> str:
        return "\n".join(f"{tool.name}: {_sheet(tool).in_short}" for tool in self.tools.values())

    def _brief(self) -> str:
        told = [message.text for message in self.messages if message.role == "user"]
        return "\n\n".join(told) or "There is no brief."

    def _history(self, about: str) -> str:
        turns = self._turns()
        if about.strip():
            wanted = int(about) if about.strip().isdecimal() else 0
            if not 1 <= wanted <= len(turns):
                return f"There is no turn '{about.strip()}': there are {len(turns)}."
            return "\n".join(turns[wanted - 1])
        lines = [f"{number}. {called}" for number, (called, _) in enumerate(turns, start=1)]
        return "\n".join(lines) or "You have done nothing yet."

    def _find(self, about: str) -> str:
        words = about.casefold().split()
        found = [
            f"{number}: {line}"
            for number, turn in enumerate(self._turns(), start=1)
            for line in "\n".join(turn).splitlines()
            if words and all(word in line.casefold() for word in words)
        ]
        return "\n".join(found) or "Nothing found. Type  find  and words that a line must have."

    def _notes(self) -> str:
        notes = [f"at call {note.at_call}: {note.text}" for note in self.notebook.notes]
        return "\n".join(notes) or "You have no notes: call  note  to make one."

    def _turns(self) -> list[tuple[str, str]]:
        """What was called, and what came back."""
        return [(f"{made.tool} {made.arguments}".rstrip(), made.answer) for made in self._made()]

    def _made(self) -> Iterator[Made]:
        answers = {message.tool_call_id: message for message in self.messages if isinstance(message, ChatMessageTool)}
        for message in self.messages:
            for call in (message.tool_calls or ()) if isinstance(message, ChatMessageAssistant) else ():
                answer = answers.get(call.id)
                yield Made(
                    who=str((message.metadata or {}).get(WHO, "")),
                    tool=call.function,
                    arguments=shown(call.arguments),
                    answer=_text(answer) if answer else "",
                    refused=answer is not None and answer.error is not None,
                )


def _text(message: ChatMessage) -> str:
    if isinstance(message, ChatMessageTool) and message.error:
        return f"Refused: {message.error.message}"
    return message.text


def _sheet(tool: ToolInfo) -> ToolSheet:
    paragraphs = [" ".join(paragraph.split()) for paragraph in tool.description.split("\n\n")]
    return ToolSheet(name=tool.name, about="\n\n".join(paragraphs), fields=fields_of(tool.parameters))


def _conversations(exchanges: Sequence[Exchange]) -> dict[str, tuple[Said, ...]]:
    """Conversations with the target, as they stand.

    An answer that came of anything but `chat` stands under its own id, and is a conversation once that has gone on.
    """
    answers = [one for one in exchanges if one.side == "target"]
    ids = {(len(one.turns), one.prefill + one.answer): one.id for one in answers}
    held = {one.conversation: one for one in answers if one.conversation not in (one.id, RAW_TEXT, USER_TURN)}
    return {name: tuple(_said(last, ids)) for name, last in held.items()}


def _said(last: Exchange, ids: Mapping[tuple[int, str], str]) -> Iterator[Said]:
    """All that was said in a conversation, its answers with their ids."""
    for place, turn in enumerate(last.turns):
        name = ids.get((place, turn.content), "") if turn.role == "assistant" else ""
        yield Said(role=turn.role, text=turn.content, id=name)
    yield Said(role="assistant", text=last.prefill + last.answer, id=last.id)


def _findings(record: AuditRecord) -> Iterator[Finding]:
    for exchange in record.exchanges:
        asked = next((turn.content for turn in reversed(exchange.turns) if turn.role == "user"), "")
        text = exchange.prefill + exchange.answer
        source = "base" if exchange.side == "reference" else "target"
        yield Finding(id=exchange.id, source=source, at_call=exchange.at_call, asked=asked, text=text)
    for reading in record.readings:
        yield Finding(id=reading.id, source=reading.tool, at_call=reading.at_call, asked="", text=reading.summary)


def _suspicions(record: AuditRecord) -> Iterator[Suspicion]:
    latest = {event.key: event.hypothesis for event in record.tracker}
    for key, one in sorted(latest.items(), key=lambda item: -item[1].confidence):
        yield Suspicion(key=key, **one.model_dump())
