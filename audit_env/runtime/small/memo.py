"""What controls said, kept: many audits ask the same base and the same sham the same questions.

Answers and readings follow from the weights, the prompt and the seed alone, so a kept one is the one that would be
computed again. Targets are not remembered: each is asked by its own auditor.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Memo(Generic[Value]):
    """The most recent values, up to a total size, for callers on any thread.

    Args:
        most: The total size.
        size: Size of a value. Each counts 1 by default.
    """

    def __init__(self, most: int, size: Callable[[Value], int] = lambda _: 1) -> None:
        self._most, self._size = most, size
        self._kept: OrderedDict[Hashable, Value] = OrderedDict()
        self._total = 0
        self._gate = threading.Lock()

    def get(self, key: Hashable) -> Value | None:
        """The value kept under a key, if it still is."""
        with self._gate:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def keep(self, key: Hashable, value: Value) -> None:
        """Keep a value; what was asked for longest ago goes first."""
        with self._gate:
            if self._size(value) > self._most or key in self._kept:
                return
            self._kept[key] = value
            self._total += self._size(value)
            while self._total > self._most:
                self._total -= self._size(self._kept.popitem(last=False)[1])


class Once(Generic[Value]):
    """What is computed once, even for those who ask at the same time: audits run side by side and step alike.

    Args:
        memo: Where values are kept.
    """

    def __init__(self, memo: Memo[Value]) -> None:
        self._memo = memo
        self._pending: dict[Hashable, Future[Value | None]] = {}

    async def get(self, key: Hashable, compute: Callable[[], Awaitable[Value]]) -> Value:
        """The value of a key: kept, just being computed for somebody else, or computed now.

        Args:
            key: What is asked for.
            compute: Computes it. Where the one who computes fails or is cancelled, the others compute it anew.

        Returns:
            The value.
        """
        while (found := self._memo.get(key)) is None:
            mine: Future[Value | None] = Future()
            mine.set_running_or_notify_cancel()  # so that no one who is cancelled while waiting cancels it for all
            pending = self._pending.setdefault(key, mine)
            if pending is mine:
                return await self._compute(key, compute, mine)
            if (found := await asyncio.wrap_future(pending)) is not None:
                break
        return found

    async def _compute(
        self, key: Hashable, compute: Callable[[], Awaitable[Value]], told: "Future[Value | None]"
    ) -> Value:
        """Compute a value and tell those who wait for it: None where it failed."""
        found: Value | None = None
        try:
            found = await compute()
            self._memo.keep(key, found)
            return found
        finally:
            del self._pending[key]
            told.set_result(found)
