"""What controls said, kept: many audits ask the same base and the same sham the same questions.

Answers and readings follow from the weights, the prompt and the seed alone, so a kept one is the one that would be
computed again. Targets are not remembered: each is asked by its own auditor.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
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

    def made(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key: kept, or made now and kept."""
        value = self.get(key)
        if value is None:
            value = make()
            self.keep(key, value)
        return value


class Once(Generic[Value]):
    """What is computed once, even for those who ask at the same time: audits run side by side and step alike.

    Args:
        memo: Where values are kept.
    """

    def __init__(self, memo: Memo[Value]) -> None:
        self._memo = memo
        self._pending: dict[Hashable, Future[Mapping[Hashable, Value]]] = {}

    async def get(self, key: Hashable, compute: Callable[[], Awaitable[Value]]) -> Value:
        """The value of a key: kept, just being computed for somebody else, or computed now.

        Args:
            key: What is asked for.
            compute: Computes it. Where the one who computes fails or is cancelled, the others compute it anew.

        Returns:
            The value.
        """

        async def alone(_: Sequence[Hashable]) -> list[Value]:
            return [await compute()]

        return (await self.get_all([key], alone))[0]

    async def get_all(
        self, keys: Sequence[Hashable], compute: Callable[[Sequence[Hashable]], Awaitable[Sequence[Value]]]
    ) -> list[Value]:
        """The values of keys, of which those that are to be computed now are computed together.

        Args:
            keys: What is asked for.
            compute: Computes the values of some of the keys, in their order (see `get`).

        Returns:
            The values, in the order of the keys.
        """
        found: dict[Hashable, Value] = {}
        while missing := [key for key in dict.fromkeys(keys) if key not in found]:
            kept = {key: self._memo.get(key) for key in missing}
            found |= {key: value for key, value in kept.items() if value is not None}
            mine: Future[Mapping[Hashable, Value]] = Future()
            mine.set_running_or_notify_cancel()  # so that no one who is cancelled while waiting cancels it for all
            pending = {key: self._pending.setdefault(key, mine) for key in missing if key not in found}
            if due := [key for key, told in pending.items() if told is mine]:
                await self._compute(due, compute, mine)
            for told in set(pending.values()):
                computed = await asyncio.wrap_future(told)
                found |= {key: computed[key] for key in pending if key in computed}
        return [found[key] for key in keys]

    async def _compute(
        self,
        keys: Sequence[Hashable],
        compute: Callable[[Sequence[Hashable]], Awaitable[Sequence[Value]]],
        told: "Future[Mapping[Hashable, Value]]",
    ) -> None:
        """Compute values and tell those who wait for them: none where it failed."""
        found: dict[Hashable, Value] = {}
        try:
            found = dict(zip(keys, await compute(keys), strict=True))
            for key, value in found.items():
                self._memo.keep(key, value)
        finally:
            for key in keys:
                del self._pending[key]
            told.set_result(found)
