"""What the tools showed in an audit, read from its conversation: the same for a script at play and for its log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageTool


@dataclass(frozen=True)
class Shown:
    """One call that a tool answered."""

    tool: str
    arguments: Mapping[str, Any]
    text: str


def shown_in(messages: Sequence[ChatMessage]) -> list[Shown]:
    """Every call that was answered and not refused.

    Args:
        messages: The auditor's conversation.

    Returns:
        The calls with what they showed, in order.
    """
    calls = {
        call.id: call
        for message in messages
        if isinstance(message, ChatMessageAssistant)
        for call in message.tool_calls or []
    }
    return [
        Shown(calls[message.tool_call_id].function, calls[message.tool_call_id].arguments, message.text)
        for message in messages
        if isinstance(message, ChatMessageTool) and message.error is None and message.tool_call_id in calls
    ]
