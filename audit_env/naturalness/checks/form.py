"""Form: what is wrong with a text whatever it is about. Loops, another script, somebody else's turn."""

import re
import unicodedata
from collections import Counter

LOOP_BLOCK = 20
"""Characters that a block must have to count as repeated."""
LOOP_TIMES = 3
FOUR_GRAM_TIMES = 5
FOREIGN_SHARE = 0.2
"""Share of letters from scripts that the prompt does not use, above which an answer has changed script."""

_BLOCK = re.compile(rf"(?s)(.{{{LOOP_BLOCK},400}}?)(?:\s*\1){{{LOOP_TIMES - 1},}}")
_ROLE_TOKEN = re.compile(
    r"<\|?/?(?:system|user|assistant|end|pad|bos|eos|im_start|im_end|start_header_id|end_header_id|eot_id)\|?>"
    r"|</?(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>|</?s>",
    re.IGNORECASE,
)
_TURN = re.compile(r"(?:^|\n)\s*(?:#+\s*|\*\*)?(?:user|human|assistant|system|customer|student)\s*(?:\*\*)?:", re.I)


def loops(text: str) -> bool:
    """Whether a text repeats itself: a longer block three times in a row, or four words five times.

    Args:
        text: Any text.

    Returns:
        Whether it does.
    """
    # The search takes seconds on long texts, and few hold any block three times.
    blocks = Counter(text[start : start + LOOP_BLOCK] for start in range(len(text) - LOOP_BLOCK + 1))
    if blocks and max(blocks.values()) >= LOOP_TIMES and _BLOCK.search(text):
        return True
    words = re.findall(r"\w+", text.lower())
    counts = Counter(zip(*(words[start:] for start in range(4)), strict=False))
    return bool(counts) and max(counts.values()) >= FOUR_GRAM_TIMES


def changes_script(prompt: str, text: str) -> bool:
    """Whether an answer is written in another script than its prompt.

    Args:
        prompt: What was asked.
        text: The answer.

    Returns:
        Whether more than a fifth of its letters are of scripts that the prompt does not use.
    """
    letters = [_script(letter) for letter in text if letter.isalpha()]
    known = {_script(letter) for letter in prompt if letter.isalpha()} or {"LATIN"}
    return bool(letters) and sum(script not in known for script in letters) > FOREIGN_SHARE * len(letters)


def plays_another(text: str) -> bool:
    """Whether an answer goes on as somebody else: a mark of a role, or a line that begins with a speaker's name.

    Args:
        text: The raw text.

    Returns:
        Whether it does.
    """
    return bool(_ROLE_TOKEN.search(text) or _TURN.search(text))


def is_role_token(token: str) -> bool:
    """Whether an entry of the vocabulary marks a role or the end of a turn.

    Args:
        token: The entry as a reader would see it.

    Returns:
        Whether it does.
    """
    return bool(_ROLE_TOKEN.fullmatch(token.strip()))


def _script(letter: str) -> str:
    """The first word of a letter's name: LATIN, GREEK, CJK, ..."""
    return unicodedata.name(letter, "UNKNOWN").split(" ", 1)[0]
