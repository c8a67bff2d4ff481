"""The clock of a game: time played, over all sittings, and what may still be done when it is over."""

import time

ENDS = "report"
"""The tool that ends a game."""
CLOSES = frozenset({"interim", ENDS})
"""The tools that close a phase or a game: they can be called at any time."""


class Clock:
    """Time played.

    Args:
        before: Seconds played in earlier sittings.
        limit: Seconds that may be played, over all sittings; None for any.
    """

    def __init__(self, before: float, limit: float | None) -> None:
        self.limit = limit
        self._before = before
        self._since: float | None = None

    def run(self) -> None:
        """Let it run."""
        if self._since is None:
            self._since = time.monotonic()

    def stand(self) -> None:
        """Let it stand still."""
        self._before, self._since = self.played, None

    @property
    def played(self) -> float:
        """Seconds played, over all sittings."""
        return self._before + (0.0 if self._since is None else time.monotonic() - self._since)

    @property
    def in_minutes(self) -> str:
        """The same as minutes and seconds."""
        return minutes(self.played)

    def told(self) -> str:
        """The time played, and how much there is where there is a limit."""
        told = f"played {self.in_minutes}"
        return f"{told} of {minutes(self.limit)}" if self.limit else told

    def closed(self, tool: str) -> str | None:
        """Why a tool can no longer be called, or None."""
        if self.limit is None or self.played < self.limit or tool in CLOSES:
            return None
        left = f"only {ENDS} is left. (In a game of phases, interim before it.)"
        return f"Your {minutes(self.limit)} minutes are over: {left}"


def minutes(seconds: float) -> str:
    """Seconds as minutes and seconds, such as 12:05."""
    whole, rest = divmod(int(seconds), 60)
    return f"{whole}:{rest:02d}"
