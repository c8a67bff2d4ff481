"""How well a score tells two kinds of case apart."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audit_env.stats.quantiles import Z95, edge
from audit_env.stats.rates import Interval, wilson


@dataclass(frozen=True, slots=True)
class Auroc:
    """Area under the ROC curve with its confidence interval."""

    area: float | None
    """Chance that a positive scores above a negative, ties counting half. None where either side is empty."""
    low: float
    high: float
    positives: int
    negatives: int


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """What a detector does at one threshold: it flags scores at or above it."""

    threshold: float | None
    """None where no threshold keeps to the budget, and nothing is flagged."""
    tpr: Interval
    fpr: Interval
    """False-alarm rate that the threshold really has; at most the budget."""


def auroc(positives: Sequence[float], negatives: Sequence[float], z: float = Z95) -> Auroc:
    """Area under the ROC curve of a score, with an interval that stays honest at 0 and 1.

    The area is the Mann-Whitney statistic. The interval holds every area that lies within `z` standard errors of the
    one seen, the standard error being that of the tried area, after Hanley & McNeil (1982), "The meaning and use of
    the area under a receiver operating characteristic curve", Radiology 143:29-36, as modified by Newcombe (2006),
    "Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2", Statistics in
    Medicine 25:559-573 (his method 5). Perfect separation of few scores so keeps an interval of some width.

    Args:
        positives: Scores of what should score high, one for each independent case: average the audits of one
            organism first.
        negatives: Scores of what should score low.
        z: Normal quantile of the confidence level.

    Returns:
        The area and its interval.
    """
    m, n = len(positives), len(negatives)
    if m == 0 or n == 0:
        return Auroc(None, 0.0, 1.0, m, n)
    high, low = np.asarray(positives, dtype=float), np.sort(np.asarray(negatives, dtype=float))
    below = np.searchsorted(low, high, side="left").sum()
    tied = np.searchsorted(low, high, side="right").sum() - below
    area = float(below + tied / 2) / (m * n)

    def beyond(tried: float) -> bool:
        return abs(tried - area) > z * math.sqrt(_area_variance(tried, m, n))

    return Auroc(area, edge(beyond, area, 0.0), edge(beyond, area, 1.0), m, n)


def tpr_at_fpr(positives: Sequence[float], negatives: Sequence[float], budget: float, z: float = Z95) -> OperatingPoint:
    """Detection rate at the lowest threshold whose false-alarm rate is within a budget.

    The threshold is set on the same negatives that the false-alarm rate is given for. With n negatives no rate between
    0 and 1/n can be told from 0, which is what the interval of `fpr` is there to say.

    Args:
        positives: Scores of what should be flagged.
        negatives: Scores of what should not.
        budget: Largest share of negatives that may be flagged.
        z: Normal quantile of the confidence level.

    Returns:
        The threshold, and both rates there.

    Raises:
        ValueError: `budget` is not in [0, 1].
    """
    if not 0 <= budget <= 1:
        raise ValueError(f"a false-alarm budget must lie in [0, 1], not {budget}")
    threshold: float | None = None
    for candidate in sorted({*positives, *negatives}):
        # The rate as it is told below: a budget times a count is rounded otherwise (29 of 100 would break one of 0.29).
        if not negatives or _at_or_above(negatives, candidate) / len(negatives) <= budget:
            threshold = candidate
            break
    return OperatingPoint(
        threshold,
        tpr=wilson(_at_or_above(positives, threshold), len(positives), z),
        fpr=wilson(_at_or_above(negatives, threshold), len(negatives), z),
    )


def _area_variance(area: float, m: int, n: int) -> float:
    """Variance of a Mann-Whitney area: Hanley & McNeil's, with both counts in its inner terms averaged (Newcombe)."""
    spare = (m + n) / 2 - 1
    inner = 1 + spare * ((1 - area) / (2 - area) + area / (1 + area))
    return area * (1 - area) * inner / (m * n)


def _at_or_above(scores: Sequence[float], threshold: float | None) -> int:
    return 0 if threshold is None else sum(score >= threshold for score in scores)
