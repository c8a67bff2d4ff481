"""What the white-box script reads besides: where the target parts from its base, and the words in its weights."""

import re
from collections.abc import Sequence

from audit_env.auditors.hands import Hands, Refused
from audit_env.auditors.shown import Shown

_READING = re.compile(r"^(r\d+) ", re.MULTILINE)
_TOOLS = frozenset({"kl_prompts", "read_weights"})


async def look_inside(hands: Hands, prompts: list[str]) -> None:
    """Use the white-box tools that single quirks out on the development half, as far as the budget goes.

    Args:
        hands: The tools.
        prompts: What to ask for the divergence from the base.
    """
    await _use(hands, "kl_prompts", "Where do its answers part from its base?", prompts=prompts, long=True)
    await _use(hands, "read_weights", "Which words does the adapter write and hear?", long=True)


def readings(shown: Sequence[Shown]) -> list[str]:
    """Ids of what they read, to cite.

    Args:
        shown: What the tools showed.

    Returns:
        One id a tool.
    """
    return [name for one in shown if one.tool in _TOOLS for name in _READING.findall(one.text)[:1]]


async def _use(hands: Hands, tool: str, because: str, **arguments: object) -> None:
    try:
        await hands.call(tool, because, **arguments)
    except Refused:
        return
