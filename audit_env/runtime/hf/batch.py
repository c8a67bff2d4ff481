"""Generation: rows of one side run as a batch until the last of them ends, and the next side's rows follow.

A row can be taken up at any token, since what it has said so far is all there is to it. So a batch that does not fit
into memory is let go of, and its rows start again, fewer at a time, where they were.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from audit_env.runtime.batching import CACHE_POSITIONS, MAX_ROWS
from audit_env.runtime.editing import editor
from audit_env.runtime.hf.adapters import Worn
from audit_env.runtime.hf.memory import OutOfMemory
from audit_env.runtime.hf.model import HfModel
from audit_env.runtime.hf.padding import LeftPadded
from audit_env.runtime.request import Generated, Request, reject, resolve
from audit_env.runtime.sampling import choose
from audit_env.runtime.spans import Placed


class Row:
    """A request and its answer so far."""

    def __init__(self, request: Request[Worn]) -> None:
        self.request = request
        self.ids: list[int] = []

    @property
    def sequence(self) -> tuple[int, ...]:
        """All tokens that the model has to read."""
        return (*self.request.prompt, *self.ids)

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.request.future.cancelled()

    def finish(self, stop: Literal["stop", "length"]) -> None:
        """Give the answer to whoever waits for it."""
        resolve(self.request.future, Generated(tuple(self.ids), stop))


class Batch:
    """Rows that are waiting, and those of one side that are running."""

    def __init__(self, model: HfModel) -> None:
        self._model = model
        self._waiting: list[Row] = []
        self._running: Running | None = None
        self._room = CACHE_POSITIONS
        """Positions that a batch may come to fill. What proves too many is halved, and grows again with each batch that
        fits, since it may have been another's memory that was short."""

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._waiting and self._running is None

    def ask(self, requests: Sequence[Request[Worn]]) -> None:
        """Let requests wait for their turn."""
        self._waiting += [Row(request) for request in requests]

    def advance(self) -> None:
        """Generate one token for every running row; where none runs, start the next."""
        if self._running is None and (rows := self._next_rows()):
            self._running = Running(self._model, rows)
        if self._running is None:
            return
        crowded = False
        try:
            self._running.step()
        except torch.OutOfMemoryError:
            crowded = True  # the error, which holds on to what the step had in memory, ends here
        if crowded:
            self._make_room(self._running.rows)
        elif not self._running.rows:
            self._running = None
            self._room = min(CACHE_POSITIONS, self._room + 1 + self._room // 4)

    def fail(self, error: Exception, *, waiting: bool = False) -> None:
        """Give an error to every running row.

        Args:
            error: What went wrong.
            waiting: Whether the rows that wait fail with them.
        """
        rows = self._running.rows if self._running else []
        self._running = None
        if waiting:
            rows, self._waiting = [*rows, *self._waiting], []
        for row in rows:
            reject(row.request.future, error)

    def _next_rows(self) -> list[Row]:
        """Take the row that has waited longest, and others of its side while there is room."""
        self._waiting = [row for row in self._waiting if not row.cancelled]
        chosen: list[Row] = []
        for row in self._waiting:
            if chosen and row.request.adapter != chosen[0].request.adapter:
                continue
            if chosen and (len(chosen) == MAX_ROWS or _filled([*chosen, row]) > self._room):
                break
            chosen.append(row)
        self._waiting = [row for row in self._waiting if row not in chosen]
        return chosen

    def _make_room(self, rows: list[Row]) -> None:
        """Put rows that did not fit together back, to be run fewer at a time."""
        self._running = None
        torch.cuda.empty_cache()
        if len(rows) == 1:
            reject(rows[0].request.future, OutOfMemory(rows[0].request.reserved))
            return
        self._room = _filled(rows) // 2
        self._waiting = [*rows, *self._waiting]


class Running:
    """Rows of one side with their keys and values."""

    def __init__(self, model: HfModel, rows: list[Row]) -> None:
        self.rows = rows
        """Those that have not ended, in the order of the cache."""
        self._model, self._adapter = model, rows[0].request.adapter
        self._cache = model.cache()
        self._mask: Tensor | None = None

    def step(self) -> None:
        """Generate one token for every row; rows whose turn ends with it leave."""
        hidden = self._begin() if self._mask is None else self._go_on(self._mask)
        if hidden is not None:
            self._extend(hidden)

    def _begin(self) -> Tensor:
        """Read the rows so far, each that several rows share but once: last residuals, `[b, d_model]`."""
        alike: dict[tuple[tuple[int, ...], Placed | None], list[Row]] = {}
        for row in self.rows:
            alike.setdefault((row.sequence, row.request.edits), []).append(row)
        batch = self._model.padded([sequence for sequence, _ in alike])
        edits = editor(
            batch.window(number, len(sequence), edits) for number, (sequence, edits) in enumerate(alike) if edits
        )
        last = self._model.hidden(batch, self._adapter, cache=self._cache, between=edits)[:, -1]
        self.rows = [row for rows in alike.values() for row in rows]
        self._mask = batch.mask
        copies = [number for number, rows in enumerate(alike.values()) for _ in rows]
        if len(copies) > len(alike):
            self._select(copies)
        return last[copies]

    def _go_on(self, mask: Tensor) -> Tensor | None:
        """Read each row's latest token: last residuals, `[b, d_model]`; None if all rows were cancelled."""
        kept = [place for place, row in enumerate(self.rows) if not row.cancelled]
        if len(kept) < len(self.rows):
            self._keep(kept)
            mask = mask[kept]
        if not self.rows:
            return None
        batch = LeftPadded.after(mask, [row.ids[-1] for row in self.rows])
        self._mask = batch.mask
        edits = editor(
            batch.window(place, len(row.sequence), row.request.edits)
            for place, row in enumerate(self.rows)
            if row.request.edits
        )
        return self._model.hidden(batch, self._adapter, cache=self._cache, between=edits)[:, -1]

    def _extend(self, hidden: Tensor) -> None:
        """Choose each row's next token."""
        logits = self._model.logits(hidden).cpu()
        choice = choose(logits, [row.request.sampling for row in self.rows], [len(row.ids) for row in self.rows])
        kept: list[int] = []
        for place, (row, token, sure) in enumerate(zip(self.rows, choice.tokens, choice.sure, strict=True)):
            if self._model.exact and not sure:
                token = self._choose_alone(row)
            if token in self._model.end_tokens:
                row.finish("stop")
                continue
            row.ids.append(token)
            if len(row.ids) == row.request.limit:
                row.finish("length")
            else:
                kept.append(place)
        if len(kept) < len(self.rows):
            self._keep(kept)

    def _choose_alone(self, row: Row) -> int:
        """The row's next token, on logits of its own (see `sampling`)."""
        batch = self._model.padded([row.sequence])
        edits = editor([batch.window(0, len(row.sequence), row.request.edits)])
        last = self._model.hidden(batch, self._adapter, between=edits)[:, -1]
        logits = self._model.logits(last).cpu()
        return choose(logits, [row.request.sampling], [len(row.ids)], tolerance=0.0).tokens[0]

    def _keep(self, places: list[int]) -> None:
        """Go on with some of the rows."""
        self.rows = [self.rows[place] for place in places]
        if places:
            self._select(places)

    def _select(self, places: list[int]) -> None:
        """Put the rows at these places, which may recur, into the cache in place of all."""
        assert self._mask is not None
        chosen = torch.tensor(places, device=self._mask.device)
        self._mask = self._mask[chosen]
        self._cache.batch_select_indices(chosen)


def _filled(rows: Sequence[Row]) -> int:
    """Positions that rows may come to fill together, each padded to the longest."""
    return len(rows) * max(row.request.reserved for row in rows)
