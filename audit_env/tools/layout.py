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
    return "\n".join(
        [f"> {shortened(prompt, LONGEST_PROMPT)}", *(f"{label}: {one_line(answer)}" for label, answer in answers)]
    )


def shortened(text: str, most: int) -> str:
    """A text on one line, cut where it is long.

    Args:
        text: Any text.
        most: Characters that are shown.

    Returns:
        The line, with three dots where something is missing.
    """
    line = one_line(text)
    return line if len(line) <= most else line[: most - 3] + "..."
