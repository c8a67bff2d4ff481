"""The running batch: rows join when there is room, whatever their adapter and sampling, and leave when they end."""

from collections.abc import Sequence
from itertools import groupby
from typing import Literal

import torch
from torch import Tensor

from audit_env.runtime.batching import MAX_ROWS, batches
from audit_env.runtime.editing import Window, editor
from audit_env.runtime.finite import NotFinite
from audit_env.runtime.request import Generated, Request, reject, resolve
from audit_env.runtime.sampling import Choice, choose
from audit_env.runtime.small.adapter import Adapter, Stacks
from audit_env.runtime.small.cache import Lane, Slot, Step, capacity_for
from audit_env.runtime.small.model import Causal, Llama, Padded, runs
from audit_env.runtime.spans import Placed
from audit_env.runtime.waiting import Waiting

USUAL = 32
"""Tokens that a row has room for in the lane where it begins: to change lanes later costs as much as two steps."""


class Line(Slot):
    """A sequence in the batch, as one side reads it."""

    def __init__(self, prompt: tuple[int, ...], adapter: Adapter | None, edits: Placed | None, ids: list[int]) -> None:
        self.prompt, self.adapter, self.edits = prompt, adapter, edits
        self.ids = ids
        """What was said so far. Lines of one request share it."""
        self.stacks: Stacks | None = None
        """What the adapter computes with, held on to while the line is in the batch."""

    @property
    def sequence(self) -> tuple[int, ...]:
        """All tokens so far."""
        return (*self.prompt, *self.ids)


class Row(Line):
    """A request in the batch."""

    def __init__(self, request: Request[Adapter]) -> None:
        super().__init__(request.prompt, request.adapter, request.edits, [])
        self.request = request
        self.base = None if request.base is None else Line(request.base, None, None, self.ids)
        """How the base reads the answer, where it is amplified."""

    @property
    def lines(self) -> tuple[Line, ...]:
        """All that is read for this request."""
        return (self,) if self.base is None else (self, self.base)


class Batch:
    """Requests that are waiting and rows that are running."""

    def __init__(self, model: Llama) -> None:
        self.chosen = 0
        """Tokens chosen so far."""
        self.recomputed = 0
        """Of these, tokens chosen on logits computed again, because the batch's left them unsure."""
        self._model = model
        self._waiting: Waiting[Row] = Waiting()
        self._joining: list[Row] = []
        self._rows: list[Row] = []
        self._lanes: dict[int, Lane] = {}

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self._waiting.rows or self._rows)

    @property
    def waiting(self) -> int:
        """How many requests wait for a place."""
        return len(self._waiting.rows)

    def ask(self, requests: Sequence[Request[Adapter]]) -> None:
        """Let requests wait for their turn."""
        self._waiting.rows += [Row(request) for request in requests]

    def advance(self) -> None:
        """Admit what fits, then generate one token for every row. A batch that fails starts again, fewer at a time."""
        failed: Exception | None = None
        try:
            self._drop_cancelled()
            self._admit()
            if self._rows:
                self._step()
        except Exception as error:
            # Without its traceback, which holds on to what the step had in memory.
            failed = error.with_traceback(None)
        if failed is not None:
            rows = [*self._rows, *self._joining]
            self._clear()
            self._waiting.again(rows, sum(row.request.reserved for row in rows), failed)
        if self.idle:
            self._lanes = {}

    def fail(self, error: Exception) -> None:
        """Give an error to everyone who waits for an answer."""
        for row in (*self._joining, *self._rows):
            reject(row.request.future, error)
        self._clear()
        self._waiting.fail(error)

    def _clear(self) -> None:
        self._joining, self._rows, self._lanes = [], [], {}

    def _drop_cancelled(self) -> None:
        for row in [row for row in self._rows if row.request.future.cancelled()]:
            self._leave(row)

    def _admit(self) -> None:
        """Move waiting rows into the batch while there is room."""
        if not self._waiting.rows:
            return
        room = self._waiting.room - sum(row.request.reserved for row in self._rows)
        lines = len(_lines(self._rows))
        while self._waiting.rows and lines < MAX_ROWS:
            row = self._waiting.rows[0]
            if not row.request.future.cancelled():
                room -= row.request.reserved
                if room < 0 and (self._rows or self._joining):
                    break
                self._joining.append(row)
                lines += len(row.lines)
            self._waiting.rows.pop(0)
        if not self._joining:
            return
        read: list[Line] = []
        logits: list[Tensor] = []
        for line in _lines(self._joining):
            line.length = len(line.sequence)
            line.stacks = line.adapter.open() if line.adapter else None
        by_length = sorted(_lines(self._joining), key=lambda line: line.length)
        for capacity, members in groupby(by_length, key=lambda line: capacity_for(line.length + USUAL)):
            group = list(members)
            for numbers in batches([line.length for line in group]):
                joined, found = self._prefill([group[number] for number in numbers], self._lane(capacity))
                read += joined
                logits.append(found)
        self._rows += self._joining
        self._joining = []
        self._extend(read, torch.cat(logits))

    def _prefill(self, lines: Sequence[Line], lane: Lane) -> tuple[list[Line], Tensor]:
        """Read new lines so far, each that several share but once: lines, and logits of what follows them."""
        readers: dict[tuple[Adapter | None, tuple[int, ...], Placed | None], list[Line]] = {}
        for line in sorted(lines, key=_by_adapter):
            readers.setdefault((line.adapter, line.sequence, line.edits), []).append(line)
        whole = Padded.of([ids for _, ids, _ in readers])
        b, t = whole.ids.shape
        last = torch.tensor([number * t + length - 1 for number, length in enumerate(whole.lengths)])
        attention = Causal(self._model.shape, b, t, keep=True)
        residual = self._model.blocks(
            whole.ids.flatten(),
            torch.arange(t).repeat(b),
            attention,
            runs([adapter for adapter, _, _ in readers], t),
            wanted=last,
            between=editor(
                Window(edits, number * t, 0, len(ids)) for number, (_, ids, edits) in enumerate(readers) if edits
            ),
        )
        joining = [line for group in readers.values() for line in group]
        places = [number for number, group in enumerate(readers.values()) for _ in group]
        lane.adopt(joining, attention.cache, places)
        return joining, self._model.logits(residual)[places]

    def _step(self) -> None:
        """Generate one token for every row."""
        lines = sorted(_lines(self._rows), key=_by_adapter_and_slot)
        full: dict[Lane, list[Line]] = {}
        for line in lines:
            if line.length == line.lane.capacity:
                full.setdefault(line.lane, []).append(line)
        for lane, grown in full.items():
            lane.move(grown, self._lane(capacity_for(lane.capacity)))
        residual = self._model.blocks(
            torch.tensor([line.ids[-1] for line in lines]),
            torch.tensor([line.length for line in lines]),
            Step(lines),
            runs([line.adapter for line in lines]),
            between=editor(Window(line.edits, place, line.length, 1) for place, line in enumerate(lines) if line.edits),
        )
        for line in lines:
            line.length += 1
        self._extend(lines, self._model.logits(residual))

    def _extend(self, lines: Sequence[Line], logits: Tensor) -> None:
        """Choose each row's next token, given the logits of all lines; rows whose turn ends with it leave."""
        rows = [line for line in lines if isinstance(line, Row)]
        base = None
        if len(rows) < len(lines):
            places = {line: place for place, line in enumerate(lines)}
            base = logits[[places[row.base] for row in rows if row.base]]
            logits = logits[[places[row] for row in rows]]
        samplings = [row.request.sampling for row in rows]
        choice = choose(logits, samplings, [len(row.ids) for row in rows], base=base)
        self.chosen += len(rows)
        for row, token, sure, finite in zip(rows, *choice, strict=True):
            if finite and not sure:
                [token], _, [finite] = self._choose_alone(row)
            if not finite:
                self._refuse(row)
            elif token in self._model.shape.end_tokens:
                self._finish(row, "stop")
            else:
                row.ids.append(token)
                if len(row.ids) == row.request.limit:
                    self._finish(row, "length")

    def _choose_alone(self, row: Row) -> Choice:
        """The row's next token, on logits of its own (see `sampling`)."""
        self.recomputed += 1
        own, *base = [self._alone(line) for line in row.lines]
        sampling, steps = [row.request.sampling], [len(row.ids)]
        return choose(own, sampling, steps, tolerance=0.0, base=base[0] if base else None)

    def _alone(self, line: Line) -> Tensor:
        """Logits of what follows a line, computed without a cache, `[1, vocab]`."""
        whole = Padded.of([line.sequence])
        between = editor([Window(line.edits, 0, 0, whole.lengths[0])])
        return self._model.logits(whole.last(self._model.sequences(whole, line.adapter, between=between)))

    def _finish(self, row: Row, stop: Literal["stop", "length"]) -> None:
        self._leave(row)
        self._waiting.fitted(row.request.reserved)
        resolve(row.request.future, Generated(tuple(row.ids), stop))

    def _refuse(self, row: Row) -> None:
        """Let a row go whose logits are no numbers, and leave nothing of it for those who get its place."""
        for line in row.lines:
            line.lane.wipe(line)
        self._leave(row)
        reject(row.request.future, NotFinite("This model"))

    def _leave(self, row: Row) -> None:
        for line in row.lines:
            line.lane.release(line)
        self._rows.remove(row)

    def _lane(self, capacity: int) -> Lane:
        if capacity not in self._lanes:
            self._lanes[capacity] = Lane(self._model.shape, capacity)
        return self._lanes[capacity]


def _lines(rows: Sequence[Row]) -> list[Line]:
    """All that is read for some rows."""
    return [line for row in rows for line in row.lines]


def _by_adapter(line: Line) -> int:
    """Sort key that puts lines of one adapter beside each other."""
    return id(line.adapter)


def _by_adapter_and_slot(line: Line) -> tuple[int, int, int]:
    """Sort key that also puts lines of one lane side by side, in the order of their slots."""
    return id(line.adapter), line.lane.capacity, line.number
