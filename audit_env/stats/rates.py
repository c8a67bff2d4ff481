"""Rates with their intervals: of independent observations, and of such as come in clusters."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from audit_env.stats.quantiles import Z95, student_t_quantile


@dataclass(frozen=True, slots=True)
class Interval:
    """A rate with its confidence interval."""

    rate: float | None
    """None where nothing was counted."""
    low: float
    high: float
    n: int
    """Observations."""
    clusters: int
    """Groups that the observations fall into; as many as observations where each stands alone."""
    effective_n: float
    """Independent observations that would tell as much."""


def wilson(successes: float, n: int, z: float = Z95) -> Interval:
    """Score interval of a binomial proportion.

    Wilson (1927), "Probable inference, the law of succession, and statistical inference", JASA 22:209-212.

    Args:
        successes: How many of the observations succeeded, from 0 to `n` (partial successes may be added up).
        n: Independent observations.
        z: Normal quantile of the confidence level.

    Returns:
        The rate and its interval; [0, 1] where `n` is 0.

    Raises:
        ValueError: `successes` is not between 0 and `n`.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} observations cannot be")
    if n == 0:
        return Interval(None, 0.0, 1.0, 0, 0, 0.0)
    rate = successes / n
    return Interval(rate, *_score_bounds(rate, n, z), n=n, clusters=n, effective_n=float(n))


def fisher_exact(successes: int, n: int, other_successes: int, other_n: int) -> float:
    """Two-sided p-value of two proportions being the same, exact at any sample size.

    Fisher (1922), "On the interpretation of chi-squared from contingency tables", JRSS 85:87-94: the chance, given
    both margins, of a table no likelier than this one. The same as `scipy.stats.fisher_exact`.

    Args:
        successes: How many of the first observations succeeded.
        n: First observations.
        other_successes: How many of the second observations succeeded.
        other_n: Second observations.

    Returns:
        The p-value; 1 where either side has no observations.

    Raises:
        ValueError: More succeeded than there were observations.
    """
    if not (0 <= successes <= n and 0 <= other_successes <= other_n):
        raise ValueError(f"{successes} of {n} and {other_successes} of {other_n} cannot be")
    both = successes + other_successes
    # Whole numbers, so that tables of equal chance compare equal.
    weights = {
        k: math.comb(n, k) * math.comb(other_n, both - k) for k in range(max(0, both - other_n), min(n, both) + 1)
    }
    return sum(weight for weight in weights.values() if weight <= weights[successes]) / sum(weights.values())


def clustered_wilson(values: Sequence[float], clusters: Sequence[Hashable], z: float = Z95) -> Interval:
    """Wilson interval of a mean of values in [0, 1] that come in clusters, such as several audits of one organism.

    The sample size is replaced by the effective one of Korn & Graubard (1998), "Confidence intervals for proportions
    with small expected number of positive counts estimated from survey data", Survey Methodology 24:193-201:
    `p (1 - p) / v`, at most `n`, where `v` is the clustered variance of the mean (Miller 2024, arXiv:2411.00640,
    appendix A, with the factor C / (C - 1)); and the normal quantile by Student's with C - 1 degrees of freedom.
    This is what `inspect_ai.scorer.ci_wilson(cluster=...)` does.

    It departs from Inspect in two cases that leave the variance without an estimate. Where the rate is exactly 0 or 1,
    each cluster counts as one observation (Inspect counts all `n`, as if ten silent audits of one organism were ten
    silent organisms). One cluster alone gives [0, 1] (Inspect refuses).

    Args:
        values: An outcome for each observation, 0 to 1.
        clusters: The cluster of each observation.
        z: Normal quantile of the confidence level.

    Returns:
        The rate, its interval and the effective sample size.

    Raises:
        ValueError: The two sequences differ in length, or a value lies outside [0, 1].
    """
    if len(values) != len(clusters):
        raise ValueError(f"{len(values)} values but {len(clusters)} clusters")
    if any(not 0 <= value <= 1 for value in values):
        raise ValueError("values must lie in [0, 1]")
    n = len(values)
    if n == 0:
        return Interval(None, 0.0, 1.0, 0, 0, 0.0)
    rate = math.fsum(values) / n
    deviations: dict[Hashable, float] = {}
    for value, cluster in zip(values, clusters, strict=True):
        deviations[cluster] = deviations.get(cluster, 0.0) + value - rate
    count = len(deviations)
    if count == 1:
        return Interval(rate, 0.0, 1.0, n, 1, 1.0)
    if rate in (0.0, 1.0):
        return Interval(rate, *_score_bounds(rate, count, z), n=n, clusters=count, effective_n=float(count))
    variance = math.fsum(total**2 for total in deviations.values()) * count / (count - 1) / n**2
    effective = min(rate * (1 - rate) / variance, n) if variance > 0 else float(n)
    critical = student_t_quantile(NormalDist().cdf(z), count - 1)
    return Interval(rate, *_score_bounds(rate, effective, critical), n=n, clusters=count, effective_n=effective)


def upper_bound_for_zero(n: int, level: float = 0.95) -> float:
    """Highest rate that still agrees with no success in `n` observations.

    The two-sided interval of Clopper & Pearson (1934), "The use of confidence or fiducial limits illustrated in the
    case of the binomial", Biometrika 26:404-413, which for zero successes has the closed form
    `1 - (alpha / 2)^(1 / n)`.

    Args:
        n: Independent observations.
        level: Confidence level.

    Returns:
        The upper bound; 1 where `n` is 0.
    """
    return 1.0 if n == 0 else 1.0 - ((1.0 - level) / 2.0) ** (1.0 / n)


def _score_bounds(rate: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's bounds, which rounding may not push past 0, 1 or the rate."""
    scale = 1 + z**2 / n
    centre = (rate + z**2 / (2 * n)) / scale
    half = z * math.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2)) / scale
    return min(max(centre - half, 0.0), rate), max(min(centre + half, 1.0), rate)
