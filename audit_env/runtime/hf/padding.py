"""Sequences of several lengths as one batch, padded on the left: the last position of every row is its last token."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from audit_env.runtime.editing import Window
from audit_env.runtime.spans import Placed


class LeftPadded(NamedTuple):
    """A batch for a model's forward pass."""

    ids: Tensor
    """`[b, t]`, padded with token 0"""
    mask: Tensor
    """1 where there is a token, those in the cache included, `[b, cached + t]`"""
    positions: Tensor
    """Position of each token in its own sequence, `[b, t]`"""

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]], device: torch.device) -> "LeftPadded":
        """Pad sequences to the longest.

        Args:
            sequences: Token ids, one or more each.
            device: Where the batch is wanted.

        Returns:
            The batch.
        """
        longest = max(map(len, sequences))
        ids = torch.tensor([[*[0] * (longest - len(one)), *one] for one in sequences])
        mask = torch.tensor([[*[0] * (longest - len(one)), *[1] * len(one)] for one in sequences])
        # Padding is never read, so its position only has to exist.
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        return cls(ids.to(device), mask.to(device), positions.to(device))

    def window(self, row: int, length: int, edits: Placed | None) -> Window:
        """Where the tokens of a row that are in this batch lie in it.

        Args:
            row: Its number.
            length: Tokens of the row so far, those of the batch included.
            edits: Those of the row.

        Returns:
            The window.
        """
        width = self.ids.shape[1]
        here = min(width, length)
        return Window(edits, (row + 1) * width - here, length - here, here)

    @classmethod
    def after(cls, mask: Tensor, tokens: Sequence[int]) -> "LeftPadded":
        """One more token for every row of a batch that is in the cache.

        Args:
            mask: That of the cached positions, `[b, cached]`.
            tokens: The next token of each row.

        Returns:
            The batch.
        """
        ids = torch.tensor(tokens, device=mask.device)[:, None]
        return cls(ids, torch.cat((mask, torch.ones_like(ids)), dim=1), mask.sum(1, keepdim=True))
