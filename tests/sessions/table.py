"""A terminal whose lines are given."""

from collections.abc import Iterator

from audit_env.sessions.terminal import Terminal

CTRL_C = object()
END = object()


class Table:
    """A terminal of 80 by 24 at which given lines are typed."""

    def __init__(self, *typed: object) -> None:
        self.shown: list[str] = []
        self.prompts: list[str] = []
        self._typed: Iterator[object] = iter(typed)
        self.terminal = Terminal(self._line, self.shown.append, lambda: (80, 24))

    @property
    def text(self) -> str:
        return "\n".join(self.shown)

    def _line(self, prompt: str) -> str:
        self.prompts.append(prompt)
        typed = next(self._typed)
        if typed is CTRL_C:
            raise KeyboardInterrupt
        if typed is END:
            raise EOFError
        assert isinstance(typed, str)
        return typed
