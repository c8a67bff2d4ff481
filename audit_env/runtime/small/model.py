"""The forward pass of a Llama-architecture model, for batches in which every row may have its own adapter.

Names of sizes: b rows, t positions, n = b * t tokens in one list, h heads, k key-value heads, d the width of a head.
The blocks work on a flat list of tokens `[n, d_model]`; only attention knows which tokens belong together, and it is
passed in: `Causal` attends within whole sequences, `cache.Step` to what is already in the cache.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from audit_env.runtime.editing import Between
from audit_env.runtime.small.adapter import Adapter, Stacks
from audit_env.runtime.small.config import Shape
from audit_env.runtime.small.weights import Site, Weights


class Run(NamedTuple):
    """Neighbouring tokens that share an adapter, or have none."""

    tokens: int
    adapter: Adapter | None
    stacks: Stacks | None
    """What the adapter computes with."""


class Attention(Protocol):
    """How the tokens of a batch attend to each other."""

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend in one layer.

        Args:
            layer: Number of the block.
            queries: `[n, h, d]`, rotated.
            keys: `[n, k, d]`, rotated.
            values: `[n, k, d]`

        Returns:
            `[n, h * d]`
        """
        ...


class Causal:
    """Attention within whole sequences, which are padded on the right.

    Padding needs no mask: under causal attention nothing looks to its right, and what the padding itself computes is
    never read.
    """

    def __init__(self, shape: Shape, rows: int, length: int, *, keep: bool = False) -> None:
        self._rows, self._length = rows, length
        self._keep = keep
        self._grouped = shape.n_kv_heads != shape.n_heads
        size = (2, shape.n_layers, rows, shape.n_kv_heads, length, shape.d_head)
        self.cache = torch.empty(size if keep else 0)
        """Keys and values of every layer if they are kept, `[2, layers, b, k, t, d]`."""

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend in one layer (see `Attention`)."""
        q, k, v = (x.view(self._rows, self._length, *x.shape[1:]).transpose(1, 2) for x in (queries, keys, values))
        if self._keep:
            self.cache[0, layer], self.cache[1, layer] = k, v
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self._grouped)
        return mixed.transpose(1, 2).reshape(queries.shape[0], -1)


class Padded(NamedTuple):
    """Sequences of several lengths as one batch."""

    ids: Tensor
    """`[b, t]`, padded on the right with token 0"""
    lengths: list[int]

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]]) -> "Padded":
        """Pad sequences to the longest."""
        lengths = [len(sequence) for sequence in sequences]
        ids = torch.zeros(len(sequences), max(lengths), dtype=torch.long)
        for row, sequence in zip(ids, sequences, strict=True):
            row[: len(sequence)] = torch.tensor(sequence, dtype=torch.long)
        return cls(ids, lengths)

    def last(self, x: Tensor) -> Tensor:
        """The last position of every row of `x` `[b, t, ...]`: `[b, ...]`."""
        return x[torch.arange(len(self.lengths)), torch.tensor(self.lengths) - 1]


def runs(adapters: Sequence[Adapter | None], width: int = 1) -> list[Run]:
    """Join neighbouring rows that share an adapter.

    Args:
        adapters: Adapter of each row; None for the base.
        width: Tokens per row.

    Returns:
        Runs that cover all tokens in order; none at all where no row has an adapter.
    """
    if not any(adapters):
        return []
    return [
        Run(width * len(list(rows)), adapter, adapter.open() if adapter else None)
        for adapter, rows in groupby(adapters)
    ]


class Llama:
    """A base with its constants. Stateless: every call says which rows use which adapter."""

    def __init__(self, shape: Shape, weights: Weights) -> None:
        self.shape = shape
        self.weights = weights
        frequencies = 1.0 / shape.rope_theta ** (torch.arange(0, shape.d_head, 2, dtype=torch.float32) / shape.d_head)
        angles = torch.outer(torch.arange(shape.context_length, dtype=torch.float32), frequencies)
        self._cos, self._sin = angles.cos()[:, None], angles.sin()[:, None]

    def blocks(
        self,
        ids: Tensor,
        positions: Tensor,
        attend: Attention,
        sides: Sequence[Run],
        *,
        through: int | None = None,
        wanted: Tensor | None = None,
        between: Between | None = None,
    ) -> Tensor:
        """Run tokens through the blocks.

        Args:
            ids: `[n]`
            positions: Position of each token in its sequence, `[n]`.
            attend: How they attend to each other.
            sides: Which tokens have which adapter (see `runs`).
            through: Last block to run; -1 for the embedding alone. None for all.
            wanted: Places of the tokens to return, ascending. None for all.
            between: What is done to the residual stream after the embedding and after each block.

        Returns:
            The residual stream of the wanted tokens, before the final norm, `[wanted, d_model]`.
        """
        shape = self.shape
        rotated = shape.n_heads + shape.n_kv_heads
        cos, sin = self._cos[positions], self._sin[positions]
        x = self.weights.embedding[ids]
        among: Tensor | None = None
        if between is not None:
            x = between(-1, x)
        blocks = self.weights.blocks[: None if through is None else through + 1]
        for layer, block in enumerate(blocks):
            qkv = self._linear(self._norm(x, block.attention_norm), layer, "qkv", sides)
            looking, v = qkv.view(-1, rotated + shape.n_kv_heads, shape.d_head).tensor_split([rotated], dim=1)
            q, k = _rotate(looking, cos, sin).tensor_split([shape.n_heads], dim=1)
            mixed = attend(layer, q, k, v)
            if wanted is not None and block is blocks[-1]:
                # The last block needs other tokens for their keys and values alone.
                x, mixed, sides, among = x[wanted], mixed[wanted], _narrowed(sides, wanted), wanted
            x = x + self._linear(mixed, layer, "o", sides)
            gate, up = self._linear(self._norm(x, block.mlp_norm), layer, "gate_up", sides).chunk(2, dim=-1)
            x = x + self._linear(F.silu(gate).mul_(up), layer, "down", sides)
            if between is not None:
                x = between(layer, x, among)
        return x if wanted is None or blocks else x[wanted]

    def sequences(
        self,
        batch: Padded,
        adapter: Adapter | None,
        *,
        through: int | None = None,
        between: Between | None = None,
    ) -> Tensor:
        """Run whole sequences of one side through the blocks.

        Args:
            batch: The sequences.
            adapter: The side's adapter; None for the base.
            through: Last block to run, as in `blocks`.
            between: As in `blocks`.

        Returns:
            The residual stream, before the final norm, `[b, t, d_model]`.
        """
        b, t = batch.ids.shape
        found = self.blocks(
            batch.ids.flatten(),
            torch.arange(t).repeat(b),
            Causal(self.shape, b, t),
            runs([adapter] * b, t),
            through=through,
            between=between,
        )
        return found.view(b, t, -1)

    def logits(self, residual: Tensor) -> Tensor:
        """Logits of the next token: `[..., d_model]` before the final norm to `[..., vocab]`."""
        return F.linear(self._norm(residual, self.weights.final_norm), self.weights.unembedding)

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, (self.shape.d_model,), weight, self.shape.norm_eps)

    def _linear(self, x: Tensor, layer: int, site: Site, sides: Sequence[Run]) -> Tensor:
        """The site's map of `x` `[n, in]`, each run with its adapter's low-rank update: `[n, out]`."""
        out = F.linear(x, self.weights.blocks[layer].linear[site])
        if not sides:
            return out
        if len(sides) == 1:  # without views, which gradients do not pass
            return _adapted(out, x, layer, site, sides[0])
        sizes = [run.tokens for run in sides]
        parts = zip(sides, x.split_with_sizes(sizes), out.split_with_sizes(sizes), strict=True)
        for run, given, part in parts:
            _adapted(part, given, layer, site, run)
        return out


def _adapted(out: Tensor, x: Tensor, layer: int, site: Site, run: Run) -> Tensor:
    """Add a side's low-rank update of `x` to `out`, in place."""
    if run.adapter and run.stacks and (factors := run.stacks.layers[layer].get(site)):
        out.addmm_(x @ factors.down, factors.up, alpha=run.adapter.scale)
    return out


def _narrowed(sides: Sequence[Run], wanted: Tensor) -> list[Run]:
    """The runs of the wanted tokens alone, given the runs of all."""
    ends = torch.tensor([run.tokens for run in sides], dtype=torch.long).cumsum(0)
    counts = torch.searchsorted(wanted, ends).diff(prepend=torch.zeros(1, dtype=torch.long))
    return [Run(count, run.adapter, run.stacks) for count, run in zip(counts.tolist(), sides, strict=True)]


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding (Su et al., 2021), halves paired as in Llama: `x` `[n, heads, d]`."""
    left, right = x.chunk(2, dim=-1)
    return torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1)
