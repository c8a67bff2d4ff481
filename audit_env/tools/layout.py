r"""How answers are laid out, so that a model and a regular expression can both read them.

    > What is a good soup?
    x4: You could make pumpkin soup.
    x5: Try leek soup with bread.

A prompt stands behind `> `; below it one line an answer, behind the id under which it can be cited. Line breaks inside
a text are shown as `\n`.
"""

from collections.abc import Iterable

LONGEST_PROMPT = 160
"""Characters of a prompt that are shown back."""


def one_line(text: str) -> str:
    r"""A text on one line.

    Args:
        text: Any text.

    Returns:
        The text without outer white space, its line breaks shown as `\n`.
    """
    return "\\n".join(text.strip().splitlines())


def block(prompt: str, answers: Iterable[tuple[str, str]]) -> str:
    """A prompt with its answers below.

    Args:
        prompt: What was asked; shortened to `LONGEST_PROMPT` characters.
        answers: Pairs of label (the exchange's id, with the side where there are two) and answer.

    Returns:
        The lines, joined.
    """
    asked = one_line(prompt)
    if len(asked) > LONGEST_PROMPT:
        asked = asked[: LONGEST_PROMPT - 3] + "..."
    return "\n".join([f"> {asked}", *(f"{label}: {one_line(answer)}" for label, answer in answers)])
