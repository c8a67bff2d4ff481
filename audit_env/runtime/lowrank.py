"""Low-rank updates: their singular directions, found without forming the whole matrix."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # tools read weights without torch
    from torch import Tensor

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Directions:
    """Singular value decomposition of a low-rank update, `dW = sum_k size_k written_k read_k^T`.

    Attributes:
        sizes: Singular values, largest first, `[rank]`.
        written: Left singular vectors, one a row, `[rank, out]`.
        read: Right singular vectors, one a row, `[rank, in]`.
    """

    sizes: Floats
    written: Floats
    read: Floats

    @property
    def norm(self) -> float:
        """Frobenius norm of the update."""
        return float(np.linalg.norm(self.sizes))


def decompose(a: Floats, b: Floats, scale: float = 1.0) -> Directions:
    """Decompose an update `scale * b @ a`: QR of both factors, SVD of the small core.

    Args:
        a: `[r, in]`
        b: `[out, r]`
        scale: What their product is multiplied by.

    Returns:
        Its singular directions, of which there are as many as the smallest of r, in and out.
    """
    left, left_core = np.linalg.qr(b.astype(np.float64))
    right, right_core = np.linalg.qr(a.T.astype(np.float64))
    u, sizes, vt = np.linalg.svd(scale * left_core @ right_core.T, full_matrices=False)
    return Directions(sizes=sizes, written=(left @ u).T, read=vt @ right.T)


def truncated(a: "Tensor", b: "Tensor", rank: int) -> tuple["Tensor", "Tensor"]:
    """The best approximation of an update `b @ a` by one of a smaller rank (Eckart and Young, 1936).

    Args:
        a: `[r, in]`
        b: `[out, r]`
        rank: How many directions are left.

    Returns:
        Factors `[rank, in]` and `[out, rank]`, of the type and place of `a` and `b`; the singular values are in the
        second. Filled up with zeros where the update has fewer directions.
    """
    down, up = (factor.detach().cpu().float().numpy() for factor in (a, b))
    whole = decompose(down, up)
    kept = min(rank, len(whole.sizes))
    short, tall = np.zeros((rank, a.shape[1])), np.zeros((b.shape[0], rank))
    short[:kept], tall[:, :kept] = whole.read[:kept], whole.written[:kept].T * whole.sizes[:kept]
    return a.new_tensor(short), b.new_tensor(tall)
