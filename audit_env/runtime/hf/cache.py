"""Keys and values of two batches as those of one, so that rows can join a batch that is running."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.cache_utils import DynamicLayer


def can_join(cache: Any) -> bool:
    """Whether a cache holds the keys and values of all positions and nothing else.

    Args:
        cache: Of a batch that has run; a sliding window or a recurrent state is not joined.

    Returns:
        True if `join` may be called.
    """
    return all(type(layer) is DynamicLayer and layer.is_initialized for layer in cache.layers)


def join(cache: Any, other: Any, positions: int) -> None:
    """Put the rows of a cache behind those of another.

    Args:
        cache: What the rows join.
        other: What they are taken from.
        positions: How many of the last positions are kept; rows that have fewer are padded on the left.
    """
    for layer, added in zip(cache.layers, other.layers, strict=True):
        layer.keys, layer.values = (
            torch.cat((_last(old, positions), _last(new, positions)))
            for old, new in ((layer.keys, added.keys), (layer.values, added.values))
        )


def _last(x: Tensor, positions: int) -> Tensor:
    """The last positions of `x` `[b, k, t, d]`: `[b, k, positions, d]`."""
    return F.pad(x, (0, 0, positions - x.shape[-2], 0))  # by less than nothing: cut off
