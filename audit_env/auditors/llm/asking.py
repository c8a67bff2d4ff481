"""Asking the auditor's model for JSON."""

import json
from collections.abc import Sequence
from typing import TypeVar

from inspect_ai.log import transcript
from inspect_ai.model import ChatMessage, ChatMessageUser, get_model
from pydantic import TypeAdapter, ValidationError

Form = TypeVar("Form")

ATTEMPTS = 2
"""How often a model is asked for an answer that can be read."""


async def ask_for(before: Sequence[ChatMessage], question: str, form: TypeAdapter[Form]) -> Form | None:
    """Have the auditor's model fill in a form, outside the conversation of the audit.

    Args:
        before: What it should have read.
        question: What is asked of it.
        form: The form.

    Returns:
        The form, filled in; None where no attempt could be read, which the transcript then says.
    """
    messages: list[ChatMessage] = [*before, ChatMessageUser(content=question)]
    fault = ""
    for _ in range(ATTEMPTS):
        output = await get_model().generate(messages)
        try:
            return form.validate_python(object_in(output.completion))
        except ValidationError as error:
            fault = str(error).splitlines()[0]
            again = ChatMessageUser(content=f"That is not the JSON object that was asked for ({fault}). Answer again.")
            messages += [output.message, again]
    transcript().info({"unreadable": fault, "asked": question.splitlines()[0]}, source="audit_env")
    return None


def object_in(text: str) -> object:
    """The JSON object in a text.

    Args:
        text: Any text.

    Returns:
        What stands between its first and its last brace; None where that is no JSON.
    """
    start, end = text.find("{"), text.rfind("}")
    try:
        return json.loads(text[start : end + 1]) if 0 <= start < end else None
    except json.JSONDecodeError:
        return None
