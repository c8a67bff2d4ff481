"""Text of players and targets, as the app shows it: as text and nothing else."""

from rich.text import Text
from textual.content import Content

from audit_env.sessions.terminal import plain


def literal(text: str) -> Content:
    """A text without markup, whose characters are all shown: none can act on the terminal or pretend to be the app.

    Args:
        text: Text of anybody's.

    Returns:
        What most widgets take.
    """
    return Content(plain(text))


def cell(text: str) -> Text:
    r"""The same on one line, for a table; \n stands for a line break.

    Args:
        text: Text of anybody's.

    Returns:
        What tables take.
    """
    return Text(plain(text).replace("\n", "\\n"), no_wrap=True)
