"""Generation: rows of one side run as a batch, which others of the side join as long as no other side has its turn.

A batch that fails is let go of, and its rows start again, fewer at a time, where they were (see `waiting`).
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from audit_env.runtime.batching import MAX_ROWS
from audit_env.runtime.editing import editor
from audit_env.runtime.finite import NotFinite
from audit_env.runtime.hf.adapters import Worn
from audit_env.runtime.hf.cache import can_join, join
from audit_env.runtime.hf.model import HfModel
from audit_env.runtime.hf.padding import LeftPadded
from audit_env.runtime.request import Generated, Request, reject, resolve
from audit_env.runtime.sampling import Choice, choose
from audit_env.runtime.spans import Placed
from audit_env.runtime.waiting import Waiting

COMPANIONS = 8
"""Rows that join a running batch together where more are waiting: each joining copies the cache once."""


class Line(NamedTuple):
    """A row as one side reads it."""

    ids: tuple[int, ...]
    edits: Placed | None


class Row:
    """A request and its answer so far."""

    def __init__(self, request: Request[Worn]) -> None:
        self.request = request
        self.ids: list[int] = []

    @property
    def lines(self) -> tuple["Line", ...]:
        """All that the model has to read; first the side's own, then the base's where the answer is amplified."""
        request = self.request
        own = Line((*request.prompt, *self.ids), request.edits)
        return (own,) if request.base is None else (own, Line((*request.base, *self.ids), None))

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
        self._waiting: Waiting[Row] = Waiting()
        self._joining: list[Row] = []
        self._running: Running | None = None

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._waiting.rows and self._running is None

    def ask(self, requests: Sequence[Request[Worn]]) -> None:
        """Let requests wait for their turn."""
        self._waiting.rows += [Row(request) for request in requests]

    def advance(self) -> None:
        """Generate one token for every running row, and the first of those that start or join."""
        failed: Exception | None = None
        try:
            if self._running is not None:
                self._running.step()
            self._admit()
        except Exception as error:
            # Without its traceback, which holds on to what the step had in memory.
            failed = error.with_traceback(None)
        if failed is not None:
            rows = [*(self._running.rows if self._running else ()), *self._joining]
            self._clear()
            torch.cuda.empty_cache()
            self._waiting.again(rows, _filled(rows), failed)
        elif self._running is not None and not self._running.rows:
            self._clear()
            self._waiting.fitted(self._waiting.room)

    def fail(self, error: Exception) -> None:
        """Give an error to everyone who waits for an answer."""
        for row in (*(self._running.rows if self._running else ()), *self._joining):
            reject(row.request.future, error)
        self._clear()
        self._waiting.fail(error)

    def _clear(self) -> None:
        self._running, self._joining = None, []

    def _admit(self) -> None:
        """Read the rows that come next: as a batch of their own where none runs, and else to join it."""
        self._joining = self._starting() if self._running is None else self._companions(self._running)
        if not self._joining:
            return
        joining = set(self._joining)
        self._waiting.rows = [row for row in self._waiting.rows if row not in joining]
        fresh = Running(self._model, self._joining)
        fresh.step()
        if self._running is None:
            self._running = fresh
        elif fresh.rows:
            self._running.join(fresh)
        self._joining = []

    def _starting(self) -> list[Row]:
        """The row that has waited longest, and others of its side while there is room."""
        self._waiting.drop_cancelled()
        chosen: list[Row] = []
        for row in self._waiting.rows:
            if chosen and not _alike(row.request, chosen[0].request):
                continue
            if chosen and not self._fits([*chosen, row]):
                break
            chosen.append(row)
        return chosen

    def _companions(self, running: "Running") -> list[Row]:
        """The rows that have waited longest, as far as they are of the running side and there is room.

        None behind a row of another side, which must not wait for those who came after it.
        """
        if not self._waiting.rows or not running.rows or not running.can_be_joined:
            return []
        chosen: list[Row] = []
        for row in self._waiting.rows:
            if row.cancelled:
                continue
            if not _alike(row.request, running.rows[0].request):
                return chosen
            if not self._fits([*running.rows, *chosen, row]):
                return chosen if len(chosen) >= COMPANIONS else []
            chosen.append(row)
        return chosen

    def _fits(self, rows: Sequence[Row]) -> bool:
        return len(rows) <= MAX_ROWS and _filled(rows) <= self._waiting.room


class Running:
    """Rows of one side, all amplified or none, with what reads them."""

    def __init__(self, model: HfModel, rows: list[Row]) -> None:
        self.rows = rows
        """Those that have not ended, in the order of the caches."""
        self._model = model
        self._readers = [Reader(model, adapter) for adapter in _adapters(rows[0].request)]

    @property
    def can_be_joined(self) -> bool:
        """Whether others may join, after the first step."""
        return all(reader.can_be_joined for reader in self._readers)

    def join(self, fresh: "Running") -> None:
        """Take in rows of the same side, after their first step."""
        for reader, other in zip(self._readers, fresh._readers, strict=True):
            reader.join(other)
        self.rows = [*self.rows, *fresh.rows]

    def step(self) -> None:
        """Generate one token for every row; rows whose turn ends with it leave."""
        kept = [place for place, row in enumerate(self.rows) if not row.cancelled]
        if len(kept) < len(self.rows):
            self._keep(kept)
        if self.rows:
            lines = zip(*(row.lines for row in self.rows), strict=True)
            self._extend(*(reader.read(read) for reader, read in zip(self._readers, lines, strict=True)))

    def _extend(self, own: Tensor, base: Tensor | None = None) -> None:
        """Choose each row's next token, given the logits of its lines, `[b, vocab]`."""
        steps = [len(row.ids) for row in self.rows]
        choice = choose(own, [row.request.sampling for row in self.rows], steps, base=base)
        kept: list[int] = []
        for place, (row, token, sure, finite) in enumerate(zip(self.rows, *choice, strict=True)):
            if self._model.exact and finite and not sure:
                [token], _, [finite] = self._choose_alone(row)
            if not finite:
                reject(row.request.future, NotFinite("This model"))
                continue
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

    def _choose_alone(self, row: Row) -> Choice:
        """The row's next token, on logits of its own (see `sampling`)."""
        own, *base = [reader.alone(line) for reader, line in zip(self._readers, row.lines, strict=True)]
        sampling, steps = [row.request.sampling], [len(row.ids)]
        return choose(own, sampling, steps, tolerance=0.0, base=base[0] if base else None)

    def _keep(self, places: list[int]) -> None:
        """Go on with some of the rows."""
        self.rows = [self.rows[place] for place in places]
        for reader in self._readers:
            reader.keep(places)


class Reader:
    """What one side has read of some rows: keys and values."""

    def __init__(self, model: HfModel, adapter: Worn | None) -> None:
        self._model, self._adapter = model, adapter
        self._cache = model.cache()
        self._mask: Tensor | None = None

    def read(self, lines: Sequence[Line]) -> Tensor:
        """Read what is new.

        Args:
            lines: Those of all rows; after the first time, each has grown by one token.

        Returns:
            Logits of what follows each line, `[b, vocab]`.
        """
        hidden = self._begin(lines) if self._mask is None else self._go_on(self._mask, lines)
        return self._model.logits(hidden).cpu()

    def alone(self, line: Line) -> Tensor:
        """Logits of what follows a line, computed without a cache, `[1, vocab]`."""
        batch = self._model.padded([line.ids])
        edits = editor([batch.window(0, len(line.ids), line.edits)])
        return self._model.logits(self._model.hidden(batch, self._adapter, between=edits)[:, -1]).cpu()

    def keep(self, places: Sequence[int]) -> None:
        """Go on with some of the lines, which may recur."""
        if self._mask is not None and places:
            chosen = torch.tensor(places, device=self._mask.device)
            self._mask = self._mask[chosen]
            self._cache.batch_select_indices(chosen)

    @property
    def can_be_joined(self) -> bool:
        """Whether the keys and values of others can be put behind these."""
        return self._mask is not None and can_join(self._cache)

    def join(self, other: "Reader") -> None:
        """Take in what another has read of other rows."""
        assert self._mask is not None and other._mask is not None
        longest = int(max(mask.sum(1).max() for mask in (self._mask, other._mask)))
        self._mask = torch.cat([F.pad(mask, (longest - mask.shape[1], 0)) for mask in (self._mask, other._mask)])
        join(self._cache, other._cache, longest)

    def _begin(self, lines: Sequence[Line]) -> Tensor:
        """Read whole lines, each that several rows share but once: last residuals, `[b, d_model]`."""
        numbers = {line: number for number, line in enumerate(dict.fromkeys(lines))}
        batch = self._model.padded([line.ids for line in numbers])
        edits = editor(batch.window(number, len(ids), edits) for (ids, edits), number in numbers.items() if edits)
        last = self._model.hidden(batch, self._adapter, cache=self._cache, between=edits)[:, -1]
        self._mask = batch.mask
        copies = [numbers[line] for line in lines]
        if copies != list(range(len(numbers))):
            self.keep(copies)
        return last[copies]

    def _go_on(self, mask: Tensor, lines: Sequence[Line]) -> Tensor:
        """Read each line's latest token: last residuals, `[b, d_model]`."""
        batch = LeftPadded.after(mask, [line.ids[-1] for line in lines])
        self._mask = batch.mask
        edits = editor(batch.window(place, len(line.ids), line.edits) for place, line in enumerate(lines) if line.edits)
        return self._model.hidden(batch, self._adapter, cache=self._cache, between=edits)[:, -1]


def _adapters(request: Request[Worn]) -> list[Worn | None]:
    """Who reads a request's answer: its side and, where it is amplified, the base."""
    return [request.adapter] if request.base is None else [request.adapter, None]


def _alike(one: Request[Worn], other: Request[Worn]) -> bool:
    """Whether two requests can run together."""
    return _adapters(one) == _adapters(other)


def _filled(rows: Sequence[Row]) -> int:
    """Positions that rows may come to fill together, each padded to the longest."""
    return len(rows) * max((row.request.reserved for row in rows), default=0)
