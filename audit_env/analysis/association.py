"""Rank correlation with a bootstrap interval and a permutation test."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

DRAWS = 2000


@dataclass(frozen=True)
class Correlation:
    """A rank correlation."""

    value: float | None
    """None where either side does not vary."""
    low: float
    high: float
    p: float
    n: int


def spearman(x: Sequence[float], y: Sequence[float], *, seed: int = 0, draws: int = DRAWS) -> Correlation:
    """Spearman's rank correlation, ties at their middle rank.

    Args:
        x: One number for each thing.
        y: Another.
        seed: Of bootstrap and permutations.
        draws: How many of each.

    Returns:
        The correlation, 95 % percentiles over things drawn anew, and the two-sided p-value over orders drawn anew.
    """
    ours, theirs = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(ours) < 2 or np.ptp(ours) == 0 or np.ptp(theirs) == 0:
        return Correlation(None, -1.0, 1.0, 1.0, len(ours))
    value = float(_rhos(_ranks(ours[None]), _ranks(theirs[None]))[0])
    rng = np.random.default_rng(seed)
    places = rng.integers(0, len(ours), size=(draws, len(ours)))
    drawn = _rhos(_ranks(ours[places]), _ranks(theirs[places]))
    drawn = drawn[np.isfinite(drawn)]
    orders = rng.permuted(np.tile(_ranks(theirs[None])[0], (draws, 1)), axis=1)
    mixed = np.abs(_rhos(np.tile(_ranks(ours[None])[0], (draws, 1)), orders))
    low, high = np.percentile(drawn, [2.5, 97.5])
    p = float((mixed >= abs(value) - 1e-9).sum() + 1) / (draws + 1)
    return Correlation(value, float(low), float(high), p, len(ours))


def _ranks(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks within each row, shape of the rows."""
    ranks: NDArray[np.float64] = pd.DataFrame(rows).rank(axis=1).to_numpy()
    return ranks


def _rhos(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlation of each row with the other's; NaN where one does not vary."""
    a, b = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        rhos: NDArray[np.float64] = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return rhos
