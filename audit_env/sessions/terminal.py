"""The terminal: text that is shown a page at a time, and lines that are read.

What a target wrote is shown as text and nothing else: characters that could move the cursor, or turn the direction of
writing around, are spelt out, so that no answer can pretend to be the game.
"""

import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Iterable
from types import ModuleType

try:
    import readline as _readline
except ImportError:  # not on Windows
    readline: ModuleType | None = None
else:
    readline = _readline

WIDEST = 100
"""Columns of text, however wide the terminal is: longer lines are hard to read."""
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class Terminal:
    """Where a person reads and types.

    Args:
        read: Reads a line after a prompt; raises EOFError at the end of input, KeyboardInterrupt at Ctrl-C.
        write: Writes a line.
        size: Gives columns and lines.
    """

    def __init__(
        self,
        read: Callable[[str], str] = input,
        write: Callable[[str], None] = print,
        size: Callable[[], tuple[int, int]] = shutil.get_terminal_size,
    ) -> None:
        self._read, self._write, self._size = read, write, size
        self._ahead = ""

    def say(self, text: str) -> None:
        """Show a text, a page at a time where it is long; Ctrl-C leaves the rest out.

        Args:
            text: The text; line breaks are kept.
        """
        try:
            self._show(text)
        except (EOFError, KeyboardInterrupt):
            self._write("")

    def ask(self, prompt: str, words: Iterable[str] = ()) -> str:
        r"""Read a line. One that ends with \ goes on in the next.

        Args:
            prompt: What stands before the cursor.
            words: What the Tab key completes.

        Returns:
            The text, without what no log could hold.
        """
        _complete(words)
        if self._ahead:
            said, self._ahead = self._ahead, ""
            self._write(f"{prompt}{said}")
        else:
            said = self._read(prompt)
        while said.endswith("\\"):
            said = said[:-1] + "\n" + self._read("... ")
        return said.encode("utf-8", "replace").decode()

    def _show(self, text: str) -> None:
        columns, lines = self._size()
        rows = wrapped(text, min(WIDEST, columns - 1))
        page = max(5, lines - 2)
        while len(rows) > page:
            for row in rows[: page - 1]:
                self._write(row)
            rows = rows[page - 1 :]
            said = self._read(f"-- {len(rows)} more lines; Enter goes on, q leaves them out> ")
            if said.strip():
                # A player who has read enough types the next line here.
                self._ahead = "" if said.strip().casefold() == "q" else said
                return
        for row in rows:
            self._write(row)


def on_a_terminal() -> bool:
    """Whether a person can be asked here."""
    return sys.stdin is not None and sys.stdin.isatty()


def wrapped(text: str, width: int) -> list[str]:
    """The lines of a text, broken where they are too long.

    Args:
        text: The text.
        width: Columns.

    Returns:
        Lines of at most that many characters, without any that a terminal would act on.
    """
    rows: list[str] = []
    for line in plain(text).split("\n"):
        indent = " " * min(len(line) - len(line.lstrip()), width // 2)
        rows += textwrap.wrap(line, width, subsequent_indent=indent, drop_whitespace=True) or [""]
    return rows


def plain(text: str) -> str:
    """A text whose characters are all shown: those that a terminal would act on, but for line breaks, are spelt out."""
    return "\n".join("".join(map(_seen, line)) for line in text.expandtabs(4).split("\n"))


def _seen(character: str) -> str:
    if unicodedata.category(character) not in _UNSEEN:
        return character
    return f"\\u{ord(character):04x}"


def _complete(words: Iterable[str]) -> None:
    """Let Tab complete these words, where the terminal can."""
    if readline is None:
        return
    known = sorted(words)

    def completer(begun: str, state: int) -> str | None:
        return next(iter([word for word in known if word.startswith(begun)][state:]), None)

    readline.set_completer(completer)
    readline.set_completer_delims(" \t\n,")
    readline.parse_and_bind("tab: complete")
