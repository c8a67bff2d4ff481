"""Two auditors on the same targets: difference, test, and the smallest difference that the data could have shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import sqrt
from statistics import NormalDist

import numpy as np

from audit_env.stats import paired_means, upper_bound_for_zero

EXACT = 16
"""Targets up to which every pattern of signs is tried."""
DRAWS = 20_000
POWER = 0.8


@dataclass(frozen=True)
class Paired:
    """One auditor's rate less another's, target by target."""

    difference: float | None
    low: float
    high: float
    p: float
    """Two-sided, of the sign-flip test."""
    smallest: float
    """Smallest true difference that a two-sided test at 5 % finds with a chance of 80 %."""
    targets: int
    better: int
    """Targets on which the first does better."""
    worse: int


def compare(ours: Sequence[float], theirs: Sequence[float], *, seed: int = 0) -> Paired:
    """Compare two auditors over targets that both audited.

    The test flips the signs of the targets' differences (Fisher 1935, "The design of experiments", section 21): exact
    up to 16 targets that differ, by 20,000 seeded draws beyond. Where each target has one audit by each, it is
    McNemar's exact test. The interval is Student's over targets.

    Args:
        ours: The first auditor's rate on each target.
        theirs: The second's, on the same targets.
        seed: Of the draws.

    Returns:
        The comparison.

    Raises:
        ValueError: If the two sequences differ in length.
    """
    found = paired_means(ours, theirs)
    gaps = np.asarray(ours, dtype=float) - np.asarray(theirs, dtype=float)
    low, high = (max(-1.0, found.interval()[0]), min(1.0, found.interval()[1])) if len(gaps) else (-1.0, 1.0)
    if len(gaps) > 1 and not gaps.any():
        # Nothing differed: what Student would call certain is only that few differences were missed.
        bound = upper_bound_for_zero(len(gaps))
        low, high = -bound, bound
    return Paired(
        difference=found.value,
        low=low,
        high=high,
        p=sign_flip(gaps, seed),
        smallest=_smallest(gaps),
        targets=len(gaps),
        better=int((gaps > 0).sum()),
        worse=int((gaps < 0).sum()),
    )


def sign_flip(gaps: Sequence[float] | np.ndarray, seed: int = 0) -> float:
    """Two-sided p-value of differences being as likely to fall either way.

    Args:
        gaps: The differences, one for each target.
        seed: Of the draws, where there are too many patterns to try.

    Returns:
        The p-value; 1 where nothing differs.
    """
    told = np.asarray([gap for gap in gaps if gap], dtype=float)
    if not len(told):
        return 1.0
    seen = abs(told.sum()) - 1e-9
    if len(told) <= EXACT:
        signs = np.asarray(list(product((1, -1), repeat=len(told))))
        return float((np.abs(signs @ told) >= seen).mean())
    signs = np.random.default_rng(seed).choice((1, -1), size=(DRAWS, len(told)))
    # The pattern that was seen is one of the draws, so that no p-value is 0.
    return (int((np.abs(signs @ told) >= seen).sum()) + 1) / (DRAWS + 1)


def _smallest(gaps: np.ndarray) -> float:
    n = len(gaps)
    if n < 2:
        return 1.0
    error = float(gaps.std(ddof=1)) / sqrt(n)
    if error == 0:
        return upper_bound_for_zero(n)
    normal = NormalDist()
    return min((normal.inv_cdf(0.975) + normal.inv_cdf(POWER)) * error, 1.0)
