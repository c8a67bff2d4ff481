"""Sequences of one side, read at some of their positions: what they all begin with is computed once.

A trigger scan asks for the first token behind thousands of prompts that differ in one word. Keys and values of the
shared prefix are those of the prefix alone, whatever follows it, so each batch computes only what is left of its rows.
What is shared follows from the sequences of one sweep, that is of one call, so equal calls give equal bytes; against a
call in other company, a reading moves by about 1e-6, as it does by the size of the batch (see `sampling`).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from audit_env.runtime.editing import Capture, Window, editor, in_turn
from audit_env.runtime.small.adapter import Adapter
from audit_env.runtime.small.config import Shape
from audit_env.runtime.small.model import Attention, Causal, Llama, Padded, runs
from audit_env.runtime.spans import Placed

WORTH = 64
"""Tokens that sharing must save: the pass over a prefix takes as long as about 20 tokens of a full batch."""

Ids = tuple[int, ...]


class Continued:
    """Attention within sequences that go on from one prefix, padded on the right (see `model.Causal`)."""

    def __init__(self, shape: Shape, prefix: Tensor, rows: int, length: int) -> None:
        """Prepare a batch.

        Args:
            shape: The model's shape.
            prefix: Keys and values of the prefix, `[2, layers, 1, k, p, d]`.
            rows: Sequences of the batch.
            length: Positions of each after the prefix, padding included.
        """
        self._prefix = prefix.expand(-1, -1, rows, -1, -1, -1)
        self._rows, self._length = rows, length
        self._grouped = shape.n_kv_heads != shape.n_heads
        before = prefix.shape[4]
        self._visible = torch.ones(length, before + length, dtype=torch.bool).tril(before)

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend in one layer (see `model.Attention`)."""
        q, k, v = (x.view(self._rows, self._length, *x.shape[1:]).transpose(1, 2) for x in (queries, keys, values))
        k, v = (torch.cat((old, new), dim=2) for old, new in zip(self._prefix[:, layer], (k, v), strict=True))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=self._visible, enable_gqa=self._grouped)
        return mixed.transpose(1, 2).reshape(queries.shape[0], -1)


class Sweep:
    """Sequences of one side whose residuals are wanted at some positions of each."""

    def __init__(
        self,
        sequences: Sequence[Ids],
        adapter: Adapter | None,
        wanted: Sequence[range],
        *,
        edits: Sequence[Placed | None] = (),
        through: int | None = None,
    ) -> None:
        """Find what the sequences share. Where there are edits, they share nothing.

        Args:
            sequences: Token ids, one or more each.
            adapter: The side's adapter; None for the base.
            wanted: Which positions of each sequence are read.
            edits: Those of each sequence; left out where no sequence has any.
            through: Last block to run, as in `Llama.blocks`.
        """
        self._adapter, self._through = adapter, through
        first = (min(one.start if one else len(ids), len(ids) - 1) for ids, one in zip(sequences, wanted, strict=True))
        shared = min([common(sequences), *first])
        if any(edits) or shared * (len(sequences) - 1) < WORTH:
            shared = 0
        self._prefix = sequences[0][:shared] if shared else ()
        self._rests = [one[shared:] for one in sequences]
        self._wanted = [range(one.start - shared, one.stop - shared) for one in wanted]
        self._edits = edits or [None] * len(sequences)
        self._kept: Tensor | None = None

    def residuals(self, model: Llama, rows: Sequence[int]) -> tuple[Tensor, ...]:
        """Compute one batch, on the engine's thread.

        Args:
            model: The base.
            rows: Numbers of the sequences to compute.

        Returns:
            For each row the residual stream, before the final norm, at its wanted positions, `[wanted, d_model]`.
        """
        return self._run(model, rows, None)

    def at_layers(self, model: Llama, rows: Sequence[int], layers: Sequence[int]) -> tuple[Tensor, ...]:
        """Compute one batch, and keep what comes out of several layers.

        Args:
            model: The base.
            rows: Numbers of the sequences to compute.
            layers: Which are kept, none of them behind `through`.

        Returns:
            For each row the residual stream at its wanted positions, `[wanted, layers, d_model]`.
        """
        return self._run(model, rows, layers)

    def _run(self, model: Llama, rows: Sequence[int], layers: Sequence[int] | None) -> tuple[Tensor, ...]:
        batch = Padded.of([self._rests[row] for row in rows])
        b, t = batch.ids.shape
        wanted = [self._wanted[row] for row in rows]
        places = torch.cat([torch.arange(n * t + one.start, n * t + one.stop) for n, one in enumerate(wanted)])
        capture = None if layers is None else Capture(layers, places)
        edits = editor(
            Window(placed, n * t, 0, batch.lengths[n]) for n, row in enumerate(rows) if (placed := self._edits[row])
        )
        found = model.blocks(
            batch.ids.flatten(),
            torch.arange(len(self._prefix), len(self._prefix) + t).repeat(b),
            self._attention(model, b, t),
            runs([self._adapter] * b, t),
            through=self._through,
            wanted=places,
            between=in_turn(edits, capture),
        )
        kept = found if capture is None else capture.stacked()
        return kept.split_with_sizes([len(one) for one in wanted])

    def _attention(self, model: Llama, rows: int, length: int) -> Attention:
        if not self._prefix:
            return Causal(model.shape, rows, length)
        if self._kept is None:
            self._kept = self._keys_and_values(model)
        return Continued(model.shape, self._kept, rows, length)

    def _keys_and_values(self, model: Llama) -> Tensor:
        """Those of the prefix, computed alone: `[2, layers, 1, k, p, d]`."""
        p = len(self._prefix)
        attention = Causal(model.shape, 1, p, keep=True)
        model.blocks(
            torch.tensor(self._prefix),
            torch.arange(p),
            attention,
            runs([self._adapter], p),
            through=self._through,
            wanted=torch.arange(0),
        )
        return attention.cache


def common(sequences: Sequence[Ids]) -> int:
    """How many tokens all sequences begin with alike; 0 for no sequences."""
    if not sequences:
        return 0
    first, last = min(sequences), max(sequences)
    differing = (place for place, (one, other) in enumerate(zip(first, last, strict=False)) if one != other)
    return next(differing, min(len(first), len(last)))
