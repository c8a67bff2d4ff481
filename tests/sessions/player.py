"""A player at a real pseudo-terminal, 80 by 24."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PATIENCE = 180
"""Seconds without the awaited text after which a test has failed: far more than a busy machine needs."""

_SEQUENCES = re.compile(r"\x1b(?:\[[0-9;:<=>?]*[ -/]*[@-~]|[PX^_\]].*?(?:\x1b\\|\x07)|[ -/]*[0-~])", re.DOTALL)
"""What tells a terminal how and where to show text."""
_MODES = re.compile(r"\x1b\[\?\d+[hl]\r?")
"""What the line editor tells the terminal about itself before each prompt."""


class Player:
    """A process in a terminal, and who types there."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self.seen = ""
        """All that the terminal showed."""
        self._read = self._shown = 0
        self._process, self._terminal = pty.fork()
        if self._process == 0:
            # Before the process can ask for it.
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
            os.chdir(folder)
            os.execvpe(command[0], list(command), dict(environment))

    def sees(self, pattern: str) -> str:
        """Wait for a text after the last one that was waited for."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.compile(pattern).search(self.seen, self._read)):
            assert time.monotonic() < deadline and self._more(), f"'{pattern}' did not come:\n{self.seen[-2000:]}"
        self._read = found.end()
        return found[0]

    def types(self, *lines: str) -> None:
        """Type lines, each at the next prompt."""
        for line in lines:
            self.sees("> $")
            self._press(f"{line}\n")

    @property
    def text(self) -> str:
        """All that the terminal showed, without what told it how and where."""
        return _SEQUENCES.sub("", self.seen)

    def shows(self, pattern: str) -> None:
        """Wait for a text that the app shows anew."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.compile(pattern).search(self.text, self._shown)):
            assert time.monotonic() < deadline and self._more(), f"'{pattern}' did not come:\n{self.text[-2000:]}"
        self._shown = found.end()

    def waits(self, is_so: Callable[[], bool]) -> None:
        """Wait, with the clock on the screen, until something is so."""
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < deadline and self._more(), f"It did not come about:\n{self.text[-2000:]}"

    def strikes(self, *keys: str) -> None:
        """Strike keys, at once."""
        self._press("".join(keys))

    def presses(self, key: str) -> None:
        """Press a control key at the next prompt: `presses("C")` is Ctrl-C."""
        self.sees("> $")
        self._press(chr(ord(key) - ord("@")))

    def is_killed(self) -> None:
        """Kill the process, without a chance to save anything."""
        os.kill(self._process, signal.SIGKILL)
        self.ends()

    def ends(self) -> int:
        """Wait for the end.

        Returns:
            The exit status; negative for a signal.
        """
        while self._more():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])

    def _press(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def _more(self) -> bool:
        if not select.select([self._terminal], [], [], PATIENCE)[0]:
            return False
        try:
            data = os.read(self._terminal, 65_536)
        except OSError:  # how Linux says that the other side is gone
            return False
        self.seen = _MODES.sub("", self.seen + data.decode(errors="replace"))
        return bool(data)
