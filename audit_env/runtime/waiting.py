"""Rows that wait for a place in a batch, and what becomes of those whose batch failed.

A row can be taken up at any token, since what it has said so far is all there is to it. So a batch that fails is let go
of, and its rows start again where they were, half as much at a time: what does not fit into memory together fits apart,
and a fault of one row ends with that row.
"""

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any, Generic, Protocol, TypeVar

from audit_env.runtime.batching import CACHE_POSITIONS
from audit_env.runtime.memory import OutOfMemory, is_out_of_memory
from audit_env.runtime.request import Request, reject

_logger = logging.getLogger(__name__)


class Answering(Protocol):
    """A row: a request and its answer so far."""

    @property
    def request(self) -> Request[Any]:
        """What is asked for."""
        ...


Row = TypeVar("Row", bound=Answering)


class Waiting(Generic[Row]):
    """Rows in the order in which they are to run, and the room for those that do."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.room = CACHE_POSITIONS
        """Positions that the running rows may come to fill. What proves too many is halved, and grows again with what
        fits, since it may have been another's memory that was short."""

    def drop_cancelled(self) -> None:
        """Forget rows for which nobody waits any more."""
        self.rows = [row for row in self.rows if not row.request.future.cancelled()]

    def fitted(self, positions: int) -> None:
        """Give more room after rows that came to fill so many positions have ended well."""
        self.room = min(CACHE_POSITIONS, self.room + 1 + positions // 4)

    def again(self, rows: Sequence[Row], filled: int, error: Exception) -> None:
        """Put rows whose batch failed back in front. One that fails alone is told.

        Args:
            rows: All rows of the batch, those that have waited longest first.
            filled: Positions that they may come to fill together.
            error: What went wrong. Raised again where there is no row to blame.
        """
        if not rows:
            raise error
        if len(rows) > 1:
            _warn(str(error))
            self.rows = [*(row for row in rows if not row.request.future.done()), *self.rows]
            self.room = filled // 2
            return
        [request] = (row.request for row in rows)
        if is_out_of_memory(error):
            reject(request.future, OutOfMemory(request.reserved))
        else:
            reject(request.future, error)
            self.room = CACHE_POSITIONS  # which was not short

    def fail(self, error: Exception) -> None:
        """Give an error to everyone who waits."""
        for row in self.rows:
            reject(row.request.future, error)
        self.rows = []


@cache
def _warn(error: str) -> None:
    """Say once that batches fail, however many do."""
    _logger.warning(f"A batch failed ({error}): its rows are tried again, fewer at a time.")
