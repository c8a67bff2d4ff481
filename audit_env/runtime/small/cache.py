"""Keys and values of the rows being generated, and attention to them.

Rows lie in lanes by their length, so that a short row does not pay for a long one: attention reads a whole lane, and
reading is what it costs. Within a lane, rows fill the slots from 0 without gaps; a row that
outgrows its lane moves to the next. For everything but attention all lanes are one batch.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from audit_env.runtime.small.config import Shape

SHORTEST = 64
"""Positions in the shortest lane; each next lane has twice as many."""


class Slot:
    """A row's place in the cache."""

    lane: "Lane"
    number: int
    length: int
    """Positions filled."""


def capacity_for(length: int) -> int:
    """Positions of the lane for a row with `length` filled and another to come."""
    return max(SHORTEST, 1 << length.bit_length())


class Lane:
    """Slots of one capacity."""

    def __init__(self, shape: Shape, capacity: int) -> None:
        self.capacity = capacity
        self.rows: list[Slot] = []
        self._scale = shape.d_head**-0.5
        self._groups = shape.n_kv_heads, shape.n_heads // shape.n_kv_heads
        self._cache = torch.zeros(2, shape.n_layers, 0, shape.n_kv_heads, capacity, shape.d_head)
        """Keys and values, `[2, layers, slots, k, capacity, d]`"""

    def adopt(self, rows: Sequence[Slot], filled: Tensor, places: Sequence[int]) -> None:
        """Take rows in.

        Args:
            rows: Rows with their `length` set, no longer than the capacity.
            filled: Keys and values, `[2, layers, b, k, t, d]`.
            places: Where each row's are among the `b`.
        """
        self._make_room(len(self.rows) + len(rows))
        for row, place in zip(rows, places, strict=True):
            row.lane, row.number = self, len(self.rows)
            self._cache[:, :, row.number, :, : row.length] = filled[:, :, place, :, : row.length]
            self.rows.append(row)

    def move(self, rows: Sequence[Slot], to: "Lane") -> None:
        """Hand rows over to another lane."""
        numbers = [row.number for row in rows]
        to.adopt(rows, self._cache, numbers)
        for number in sorted(numbers, reverse=True):  # so that what fills a gap is never a row that has moved
            self._close_gap(number)

    def _make_room(self, slots: int) -> None:
        layout, held = list(self._cache.shape), len(self.rows)
        if slots <= layout[2]:
            return
        layout[2] = 1 << (slots - 1).bit_length()
        # Zeros, since a masked position still counts as 0 times its value, which must not be 0 times NaN.
        grown = torch.zeros(layout)
        longest = max((row.length for row in self.rows), default=0)
        grown[:, :, :held, :, :longest] = self._cache[:, :, :held, :, :longest]
        self._cache = grown

    def release(self, row: Slot) -> None:
        """Let a row go."""
        self._close_gap(row.number)

    def wipe(self, row: Slot) -> None:
        """Forget what a row held: 0 times NaN is NaN for whoever comes after it."""
        self._cache[:, :, row.number] = 0

    def _close_gap(self, number: int) -> None:
        """Put the last row into a slot that has become free."""
        last = self.rows.pop()
        if number < len(self.rows):
            self._cache[:, :, number, :, : last.length] = self._cache[:, :, last.number, :, : last.length]
            last.number = number
            self.rows[number] = last

    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor, places: "Places") -> Tensor:
        """Write one new position per row and attend to all positions of the row.

        Args:
            layer: Number of the block.
            queries: `[slots, h, d]`
            keys: `[slots, k, d]`
            values: `[slots, k, d]`
            places: Where the new positions are.

        Returns:
            `[slots, h * d]`
        """
        slots, (heads, group) = len(self.rows), self._groups
        for cache, new in zip(self._cache[:, layer], (keys, values), strict=True):
            cache[places.slots, :, places.positions] = new
        # All positions of the lane: on memory without gaps the products are twice as fast as on the filled part alone.
        k, v = (one[:slots].flatten(0, 1) for one in self._cache[:, layer])
        q = (queries * self._scale).view(slots * heads, group, -1)
        scores = torch.bmm(q, k.transpose(1, 2)).view(slots, heads, group, -1).add_(places.mask)
        weights = torch.softmax(scores, dim=-1).view(slots * heads, group, -1)
        return torch.bmm(weights, v).view(slots, -1)


class Places:
    """Where a step's new positions are in one lane, and its rows in the batch."""

    def __init__(self, lane: Lane, order: Sequence[int]) -> None:
        """Prepare a step.

        Args:
            lane: The lane.
            order: Place in the batch of the row in each slot.
        """
        lengths = np.array([row.length for row in lane.rows])
        ahead = np.arange(lane.capacity) > lengths[:, None]
        self.slots = torch.arange(len(lane.rows))
        self.positions = torch.from_numpy(lengths)
        self.mask = torch.from_numpy(np.where(ahead, np.float32(-np.inf), np.float32(0)))[:, None, None]
        """0 where a row may look, minus infinity beyond its new position, `[slots, 1, 1, capacity]`"""
        first = order[0]
        neighbours = list(order) == list(range(first, first + len(order)))
        self.rows = slice(first, first + len(order)) if neighbours else torch.tensor(order)
        """Of the batch; without a copy where they lie side by side in the order of the slots."""


class Step:
    """Attention of one new token per row (see `model.Attention`)."""

    def __init__(self, rows: Sequence[Slot]) -> None:
        """Prepare a step.

        Args:
            rows: Every row in the cache, in the order of the batch.
        """
        order: dict[Lane, list[int]] = {}
        for place, row in enumerate(rows):
            order.setdefault(row.lane, [0] * len(row.lane.rows))[row.number] = place
        self._lanes = [(lane, Places(lane, places)) for lane, places in order.items()]

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend in one layer."""
        mixed = queries.new_empty(len(queries), queries[0].numel())
        for lane, at in self._lanes:
            mixed[at.rows] = lane.attend(layer, queries[at.rows], keys[at.rows], values[at.rows], at)
        return mixed
