"""How much each sequence's last token looks at every other, head by head."""

import torch
from torch import Tensor

from audit_env.runtime.small.config import Shape
from audit_env.runtime.small.model import Causal, Padded


class Noted(Causal):
    """Attention within whole sequences, of which the last row of each pattern is kept (see `Causal`)."""

    def __init__(self, shape: Shape, batch: Padded) -> None:
        rows, length = batch.ids.shape
        super().__init__(shape, rows, length)
        self._lengths = torch.tensor(batch.lengths)
        self._found: list[Tensor] = []

    def __call__(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend in one layer (see `model.Attention`)."""
        b, t = self._rows, self._length
        k = keys.view(b, t, -1, keys.shape[-1])
        last = queries.view(b, t, -1, queries.shape[-1])[torch.arange(b), self._lengths - 1]
        grouped = last.view(b, k.shape[2], -1, last.shape[-1])
        scores = torch.einsum("bkgd,btkd->bkgt", grouped, k) / last.shape[-1] ** 0.5
        beyond = torch.arange(t) >= self._lengths[:, None]
        scores = scores.masked_fill(beyond[:, None, None], -torch.inf)
        self._found.append(scores.softmax(dim=-1).flatten(1, 2))
        return super().__call__(layer, queries, keys, values)

    def shares(self) -> list[Tensor]:
        """Those of each sequence, `[layers, heads, tokens]`."""
        stacked = torch.stack(self._found, dim=1)
        return [row[..., :length] for row, length in zip(stacked, self._lengths.tolist(), strict=True)]
