"""Prompts as auditors hand them in."""

from collections.abc import Sequence

from inspect_ai.tool import ToolError

LONGEST_TEXT = 20_000
"""Characters of one text: more than fits the context of a small model, and none that anybody would read."""


def checked(prompts: Sequence[str], most: int, what: str = "prompts") -> list[str]:
    """Refuse prompts that cannot be asked.

    Args:
        prompts: What the auditor gave.
        most: How many there may be.
        what: What the tool calls them.

    Returns:
        The prompts, each once, in the order given.

    Raises:
        ToolError: If there are none, too many, empty or endless ones.
    """
    if not prompts:
        raise ToolError(f"'{what}' is empty: give at least one.")
    if len(prompts) > most:
        raise ToolError(f"{len(prompts):,} {what} are more than {most:,}: give fewer at once.")
    if not all(prompt.strip() for prompt in prompts):
        raise ToolError(f"One of '{what}' is an empty text: give texts that say something.")
    if longest := max((len(prompt) for prompt in prompts if len(prompt) > LONGEST_TEXT), default=0):
        raise ToolError(f"One of '{what}' has {longest:,} characters: give texts of at most {LONGEST_TEXT:,}.")
    return list(dict.fromkeys(prompts))
