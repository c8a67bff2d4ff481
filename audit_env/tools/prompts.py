"""Prompts as auditors hand them in."""

from collections.abc import Sequence

from inspect_ai.tool import ToolError


def checked(prompts: Sequence[str], most: int, what: str = "prompts") -> list[str]:
    """Refuse prompts that cannot be asked.

    Args:
        prompts: What the auditor gave.
        most: How many there may be.
        what: What the tool calls them.

    Returns:
        The prompts, each once, in the order given.

    Raises:
        ToolError: If there are none, too many, or empty ones.
    """
    if not prompts:
        raise ToolError(f"'{what}' is empty: give at least one.")
    if len(prompts) > most:
        raise ToolError(f"{len(prompts):,} {what} are more than {most:,}: give fewer at once.")
    if not all(prompt.strip() for prompt in prompts):
        raise ToolError(f"One of '{what}' is an empty text: give texts that say something.")
    return list(dict.fromkeys(prompts))
