"""Hands of a script: it calls tools as a model would, so that the log shows both alike."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from inspect_ai.agent import AgentState
from inspect_ai.model import ChatMessageAssistant, ChatMessageTool, execute_tools
from inspect_ai.tool import Tool, ToolCall, ToolDef

from audit_env.auditors.shown import Shown, shown_in

_ANSWER = re.compile(r"^(x\d+)(?: (target|reference))?: (.*)$")
_PROMPT = re.compile(r"^(?:\S+  )?> (.*)$")


class Refused(Exception):
    """A tool refused a call; the text is the tool's own."""


@dataclass(frozen=True)
class Heard:
    """One answer as a tool showed it."""

    id: str
    """Under which it can be cited."""
    prompt: str
    answer: str


class Hands:
    """Calls tools and keeps the conversation.

    Args:
        state: The agent's state; calls and results are appended to its messages.
        tools: The tools of the audit.
        name: Name of the script, shown as the model of its turns.
    """

    def __init__(self, state: AgentState, tools: Sequence[Tool], name: str) -> None:
        self._state = state
        self._tools = {ToolDef(tool).name: tool for tool in tools}
        self._name = name
        self._calls = 0

    @property
    def tools(self) -> frozenset[str]:
        """Names of the tools that there are."""
        return frozenset(self._tools)

    def shown(self) -> list[Shown]:
        """What the tools showed so far."""
        return shown_in(self._state.messages)

    async def call(self, tool: str, because: str = "", **arguments: object) -> str:
        """Call a tool.

        Args:
            tool: Its name.
            because: What a reader of the transcript should know about the call.
            arguments: Its arguments.

        Returns:
            What the tool showed.

        Raises:
            Refused: If the tool answered with an error.
        """
        self._calls += 1
        call = ToolCall(id=f"{self._name}-{self._calls}", function=tool, arguments=dict(arguments))
        said = ChatMessageAssistant(content=because, tool_calls=[call], model=f"script/{self._name}", source="generate")
        self._state.messages.append(said)
        # Inspect reads the definitions of all tools that it is given, at every call: of thirty, that takes a while.
        given = [self._tools[tool]] if tool in self._tools else []
        result = await execute_tools([said], given)
        self._state.messages.extend(result.messages)
        shown = result.messages[-1]
        assert isinstance(shown, ChatMessageTool)
        if shown.error is not None:
            raise Refused(shown.error.message)
        return shown.text

    async def ask(self, prompts: Sequence[str], because: str, at_once: int = 40) -> list[Heard]:
        """Ask single questions, as many as the budget allows: one by one where the level has no tool for many.

        Args:
            prompts: What to ask, each in a fresh conversation.
            because: Shown in the transcript.
            at_once: Questions per call.

        Returns:
            The answers; fewer than prompts if the budget ran out.
        """
        heard: list[Heard] = []
        if "ask_each" not in self.tools:
            for number, prompt in enumerate(prompts, start=1):
                answered = await self.talk([prompt], f"single-{number}", because)
                if not answered:
                    break
                heard += answered
            return heard
        for start in range(0, len(prompts), at_once):
            try:
                shown = await self.call("ask_each", because, prompts=list(prompts[start : start + at_once]))
            except Refused:
                break
            heard += answers_in(shown)
        return heard

    async def talk(self, turns: Sequence[str], conversation: str, because: str) -> list[Heard]:
        """Hold one conversation.

        Args:
            turns: What the user says, in order.
            conversation: Its name.
            because: Shown in the transcript.

        Returns:
            The answers; fewer than turns if the budget ran out.
        """
        heard: list[Heard] = []
        for turn in turns:
            try:
                shown = await self.call("chat", because, message=turn, conversation=conversation)
            except Refused:
                break
            heard += [Heard(answer.id, turn, answer.answer) for answer in answers_in(shown)]
        return heard


def answers_in(shown: str) -> list[Heard]:
    """Read the answers out of what a tool showed.

    Args:
        shown: Text of a tool's result, laid out as `audit_env.tools.layout` has it.

    Returns:
        The target's answers with their prompts (empty for a tool that does not repeat the prompt).
    """
    heard: list[Heard] = []
    prompt = ""
    for line in shown.splitlines():
        if asked := _PROMPT.match(line):
            prompt = asked[1]
        elif (answer := _ANSWER.match(line)) and answer[2] != "reference":
            heard.append(Heard(answer[1], prompt, answer[3]))
    return heard
