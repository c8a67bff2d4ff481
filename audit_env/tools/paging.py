"""Long lists, a page at a time."""

from collections.abc import Sequence
from typing import TypeVar

from inspect_ai.tool import ToolError

T = TypeVar("T")


def page(items: Sequence[T], offset: int, size: int) -> tuple[Sequence[T], str]:
    """Take a page of a list.

    Args:
        items: The whole list.
        offset: Items to skip, as the auditor gave it.
        size: Items of a page.

    Returns:
        The page, and a line that says what was left out and how to get it; empty where nothing was.

    Raises:
        ToolError: If the list does not reach that far.
    """
    if offset < 0 or (offset and offset >= len(items)):
        raise ToolError(f"'offset' is {offset}, and there are {len(items):,}: give a number from 0 to below that.")
    shown = items[offset : offset + size]
    behind = len(items) - offset - len(shown)
    return shown, f"[{behind:,} more: offset={offset + size}]" if behind else ""
