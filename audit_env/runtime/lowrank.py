"""Low-rank updates: their largest singular directions, found without forming the whole matrix."""

import torch
import torch.nn.functional as F
from torch import Tensor


def truncated(a: Tensor, b: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The best approximation of an update `b @ a` by one of a smaller rank (Eckart and Young, 1936).

    Args:
        a: `[r, in]`
        b: `[out, r]`
        rank: How many directions are left.

    Returns:
        Factors `[rank, in]` and `[out, rank]`, of the type of `a` and `b`; the singular values are in the second.
        Filled up with zeros where the update has fewer directions.
    """
    left, left_core = torch.linalg.qr(b.float())
    right, right_core = torch.linalg.qr(a.float().t())
    u, sizes, vt = torch.linalg.svd(left_core @ right_core.t(), full_matrices=False)
    short, tall = vt[:rank] @ right.t(), left @ (u[:, :rank] * sizes[:rank])
    missing = rank - len(short)
    return F.pad(short, (0, 0, 0, missing)).to(a.dtype), F.pad(tall, (0, missing)).to(b.dtype)
