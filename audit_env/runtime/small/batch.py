"""The running batch: rows join when there is room, whatever their adapter and sampling, and leave when they end."""

from collections.abc import Sequence
from itertools import groupby
from typing import Literal

import torch
from torch import Tensor

from audit_env.runtime.batching import CACHE_POSITIONS, MAX_ROWS, batches
from audit_env.runtime.editing import Window, editor
from audit_env.runtime.request import Generated, Request, reject, resolve
from audit_env.runtime.sampling import choose
from audit_env.runtime.small.adapter import Adapter
from audit_env.runtime.small.cache import Lane, Slot, Step, capacity_for
from audit_env.runtime.small.model import Causal, Llama, Padded, runs
from audit_env.runtime.spans import Placed


class Row(Slot):
    """A request in the batch."""

    def __init__(self, request: Request[Adapter]) -> None:
        self.request = request
        self.length = len(request.prompt)
        self.ids: list[int] = []


class Batch:
    """Requests that are waiting and rows that are running."""

    def __init__(self, model: Llama) -> None:
        self.chosen = 0
        """Tokens chosen so far."""
        self.recomputed = 0
        """Of these, tokens chosen on logits computed again, because the batch's left them unsure."""
        self.waiting: list[Request[Adapter]] = []
        self._model = model
        self._joining: list[Row] = []
        self._rows: list[Row] = []
        self._lanes: dict[int, Lane] = {}

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.waiting or self._rows)

    def advance(self) -> None:
        """Admit what fits, then generate one token for every row."""
        self._drop_cancelled()
        self._admit()
        if self._rows:
            self._step()

    def fail(self, error: Exception, *, waiting: bool = False) -> None:
        """Give an error to every row, and start afresh.

        Args:
            error: What went wrong.
            waiting: Whether the requests that wait fail with them.
        """
        requests = [row.request for row in (*self._joining, *self._rows)]
        if waiting:
            requests += self.waiting
            self.waiting = []
        self._joining, self._rows, self._lanes = [], [], {}
        for request in requests:
            reject(request.future, error)

    def _drop_cancelled(self) -> None:
        for row in [row for row in self._rows if row.request.future.cancelled()]:
            self._leave(row)

    def _admit(self) -> None:
        """Move waiting requests into the batch while there is room."""
        room = CACHE_POSITIONS - sum(row.request.reserved for row in self._rows)
        while self.waiting and len(self._rows) + len(self._joining) < MAX_ROWS:
            room -= self.waiting[0].reserved
            if room < 0 and (self._rows or self._joining):
                break
            request = self.waiting.pop(0)
            if not request.future.cancelled():
                self._joining.append(Row(request))
        by_length = sorted(self._joining, key=lambda row: row.length)
        for capacity, members in groupby(by_length, key=lambda row: capacity_for(row.length)):
            rows = list(members)
            for numbers in batches([row.length for row in rows]):
                self._prefill([rows[number] for number in numbers], self._lane(capacity))

    def _prefill(self, rows: Sequence[Row], lane: Lane) -> None:
        """Read the prompts of new rows and choose their first tokens. A prompt that several rows share is read once."""
        readers: dict[tuple[Adapter | None, tuple[int, ...], Placed | None], list[Row]] = {}
        for row in sorted(rows, key=_by_adapter):
            readers.setdefault((row.request.adapter, row.request.prompt, row.request.edits), []).append(row)
        prompts = Padded.of([ids for _, ids, _ in readers])
        b, t = prompts.ids.shape
        attention = Causal(self._model.shape, b, t, keep=True)
        residual = self._model.blocks(
            prompts.ids.flatten(),
            torch.arange(t).repeat(b),
            attention,
            runs([adapter for adapter, _, _ in readers], t),
            between=editor(
                Window(edits, number * t, 0, len(ids)) for number, (_, ids, edits) in enumerate(readers) if edits
            ),
        )
        joining = [row for group in readers.values() for row in group]
        copies = torch.tensor([number for number, group in enumerate(readers.values()) for _ in group])
        lane.adopt(joining, attention.cache[:, :, copies])
        self._joining = [row for row in self._joining if row not in joining]
        self._rows += joining
        self._extend(joining, self._model.logits(prompts.last(residual.view(b, t, -1)))[copies])

    def _step(self) -> None:
        """Generate one token for every row."""
        for row in self._rows:
            if row.length == row.lane.capacity:
                row.lane.move(row, self._lane(capacity_for(row.length)))
        rows = sorted(self._rows, key=_by_adapter)
        residual = self._model.blocks(
            torch.tensor([row.ids[-1] for row in rows]),
            torch.tensor([row.length for row in rows]),
            Step(rows),
            runs([row.request.adapter for row in rows]),
            between=editor(
                Window(row.request.edits, place, row.length, 1) for place, row in enumerate(rows) if row.request.edits
            ),
        )
        for row in rows:
            row.length += 1
        self._extend(rows, self._model.logits(residual))

    def _extend(self, rows: Sequence[Row], logits: Tensor) -> None:
        """Choose each row's next token; rows whose turn ends with it leave."""
        choice = choose(logits, [row.request.sampling for row in rows], [len(row.ids) for row in rows])
        self.chosen += len(rows)
        for row, token, sure in zip(rows, choice.tokens, choice.sure, strict=True):
            token = token if sure else self._choose_alone(row)
            if token in self._model.shape.end_tokens:
                self._finish(row, "stop")
                continue
            row.ids.append(token)
            if len(row.ids) == row.request.limit:
                self._finish(row, "length")

    def _choose_alone(self, row: Row) -> int:
        """The row's next token, on logits of its own (see `sampling`)."""
        self.recomputed += 1
        whole = Padded.of([(*row.request.prompt, *row.ids)])
        between = editor([Window(row.request.edits, 0, 0, whole.lengths[0])])
        logits = self._model.logits(whole.last(self._model.sequences(whole, row.request.adapter, between=between)))
        return choose(logits, [row.request.sampling], [len(row.ids)], tolerance=0.0).tokens[0]

    def _finish(self, row: Row, stop: Literal["stop", "length"]) -> None:
        self._leave(row)
        resolve(row.request.future, Generated(tuple(row.ids), stop))

    def _leave(self, row: Row) -> None:
        row.lane.release(row)
        self._rows.remove(row)

    def _lane(self, capacity: int) -> Lane:
        if capacity not in self._lanes:
            self._lanes[capacity] = Lane(self._model.shape, capacity)
        return self._lanes[capacity]


def _by_adapter(row: Row) -> int:
    """Sort key that puts rows of one adapter beside each other."""
    return id(row.request.adapter)
