"""Broken thinking: what became of a thinking block, judged on the raw text.

On the raw text, because providers rewrite it: Inspect takes the first well-formed block out of an answer and leaves
orphans, second blocks and blocks that the template opened where they are, so that an answer without tags may have had
a broken thought.

The classes valid, empty, unclosed ("truncated") and missing are those of reasoning-trace collapse (arXiv:2605.21127);
the others are faults that those leave unseen.
"""

import re
from typing import Literal, NamedTuple

OPEN, CLOSE = "<think>", "</think>"

Thinking = Literal[
    "valid", "empty", "unclosed", "missing", "orphan", "nested", "duplicated", "in_answer", "answer_empty"
]
"""What a thinking block looks like.

valid: one block that says something, then an answer. empty: the block says nothing. unclosed: it never ends. missing:
there is no tag. orphan: it ends and never began. nested: it begins again inside. duplicated: a second block follows.
in_answer: the answer comes first, and the block within or after it. answer_empty: nothing comes after it.
"""

_TAG = re.compile(re.escape(OPEN) + "|" + re.escape(CLOSE))


class Thought(NamedTuple):
    """An answer taken apart."""

    thinking: Thinking
    thought: str
    """What was thought; of several blocks the first."""
    answer: str
    """What is left without blocks and tags."""


def take_apart(text: str, *, opened: bool = False) -> Thought:
    """Take an answer apart into thought and answer.

    Args:
        text: The raw text.
        opened: Whether the template opened the block, and the text does not repeat the tag.

    Returns:
        The parts, and the class of the thinking block.
    """
    raw = OPEN + text if opened else text
    tags = _TAG.findall(raw)
    before, opening, rest = raw.partition(OPEN)
    thought, closing, answer = rest.partition(CLOSE)
    plain = _TAG.sub("", answer).strip()
    if not tags:
        return Thought("missing", "", raw.strip())
    if tags[0] == CLOSE:
        orphaned, _, after = raw.partition(CLOSE)
        return Thought("orphan", orphaned.strip(), _TAG.sub("", after).strip())
    if before.strip():
        return Thought("in_answer", thought.strip(), f"{before.strip()} {plain}".strip())
    if OPEN in thought:
        return Thought("nested", _TAG.sub("", thought).strip(), plain)
    if not closing:
        return Thought("unclosed", thought.strip(), "")
    if OPEN in answer:
        return Thought("duplicated", thought.strip(), plain)
    if CLOSE in answer:
        return Thought("orphan", thought.strip(), plain)
    if not thought.strip():
        return Thought("empty", "", plain)
    return Thought("valid" if plain else "answer_empty", thought.strip(), plain)


def spoken(text: str) -> str:
    """An answer as a user should see it: without its thoughts.

    Args:
        text: The raw text.

    Returns:
        The answer.
    """
    return take_apart(text).answer


def has_tag(text: str) -> bool:
    """Whether a text holds a tag of a thinking block."""
    return bool(_TAG.search(text))
