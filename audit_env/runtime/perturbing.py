"""Perturbed matrices: the same for the same name, seed and size on every engine."""

import hashlib

import torch
from torch import Tensor

from audit_env.runtime.perturbation import Perturbation


def perturbed(name: str, matrix: Tensor, how: Perturbation, *, block: bool) -> Tensor:
    """A perturbed matrix of a base.

    Args:
        name: Its name, which the noise depends on, such as `layers.0.self_attn.q_proj`.
        matrix: `[out, in]`
        how: What is done to it.
        block: Whether it belongs to a block. Rounding leaves the embeddings as they are, as quantisers do.

    Returns:
        Another matrix, or the given one if nothing is done to it.
    """
    if how.noise:
        matrix = matrix + how.noise * matrix.std() * _noise(name, matrix, how.seed)
    return rounded_rows(matrix, how.bits) if block and how.bits else matrix


def rounded_rows(matrix: Tensor, bits: int) -> Tensor:
    """A matrix whose rows are rounded to few values, as quantising and dequantising it leaves it.

    Args:
        matrix: `[out, in]`
        bits: A row keeps at most 2^bits - 1 different values, evenly spaced from minus to plus its largest.

    Returns:
        The rounded matrix.
    """
    levels = 2 ** (bits - 1) - 1
    step = matrix.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / levels
    rounded: Tensor = (matrix / step).round() * step
    return rounded


def _noise(name: str, like: Tensor, seed: int) -> Tensor:
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return torch.randn(like.shape, generator=generator).to(like)
