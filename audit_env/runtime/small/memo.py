"""What controls said, kept: many audits ask the same base and the same sham the same questions.

Answers and readings follow from the weights, the prompt and the seed alone, so a kept one is the one that would be
computed again. Targets are not remembered: each is asked by its own auditor.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Memo(Generic[Value]):
    """The most recent values, up to a total size.

    Args:
        most: The total size.
        size: Size of a value. Each counts 1 by default.
    """

    def __init__(self, most: int, size: Callable[[Value], int] = lambda _: 1) -> None:
        self._most, self._size = most, size
        self._kept: OrderedDict[Hashable, Value] = OrderedDict()
        self._total = 0

    def get(self, key: Hashable) -> Value | None:
        """The value kept under a key, if it still is."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: Hashable, value: Value) -> None:
        """Keep a value; what was asked for longest ago goes first."""
        if self._size(value) > self._most or key in self._kept:
            return
        self._kept[key] = value
        self._total += self._size(value)
        while self._total > self._most:
            self._total -= self._size(self._kept.popitem(last=False)[1])
