"""Readings of controls, kept: many audits ask the same base and the same sham the same questions."""

from collections import OrderedDict
from collections.abc import Hashable

from audit_env.runtime.subject import Floats


class Memo:
    """The most recent arrays, up to a number of bytes."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[Hashable, Floats] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> Floats | None:
        """The array kept under a key, if it still is."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, key: Hashable, array: Floats) -> None:
        """Keep an array; what was asked for longest ago goes first."""
        if array.nbytes > self._most_bytes or key in self._kept:
            return
        array.setflags(write=False)  # every reader gets this very array
        self._kept[key] = array
        self._bytes += array.nbytes
        while self._bytes > self._most_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= dropped.nbytes
