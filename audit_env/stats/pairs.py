"""Differences of pairs, which can be held against any bound."""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from audit_env.stats.quantiles import edge, student_t_cdf, student_t_quantile


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference of pairs, which can be held against any bound."""

    value: float | None
    """None where there was no pair."""
    n: int
    """Pairs."""
    clusters: int
    """Groups that the pairs fall into."""
    distance: Callable[[float], float]
    """How many standard errors the value lies above a supposed truth; it falls as that grows."""
    reach: float
    """No truth further from 0 than this is thought of."""

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """All truths that a two-sided test does not reject.

        Args:
            level: Confidence level.

        Returns:
            Low and high; the whole range where there are fewer than two clusters.
        """
        if self.value is None or self.clusters < 2:
            return -self.reach, self.reach
        critical = student_t_quantile(0.5 + level / 2, self.clusters - 1)
        centre = self.value

        def rejected(supposed: float) -> bool:
            return abs(self.distance(supposed)) > critical

        return edge(rejected, centre, -self.reach), edge(rejected, centre, self.reach)

    def p_above(self, bound: float) -> float:
        """One-sided p-value of the truth being no higher than a bound: small where it surely lies above.

        Args:
            bound: The bound.

        Returns:
            The p-value; 1 where there are fewer than two clusters.
        """
        return self._tail(self.distance(bound)) if self._known else 1.0

    def p_below(self, bound: float) -> float:
        """One-sided p-value of the truth being no lower than a bound: small where it surely lies below.

        Args:
            bound: The bound.

        Returns:
            The p-value; 1 where there are fewer than two clusters.
        """
        return self._tail(-self.distance(bound)) if self._known else 1.0

    @property
    def _known(self) -> bool:
        return self.value is not None and self.clusters > 1

    def _tail(self, t: float) -> float:
        """Probability above `t` under Student's distribution."""
        if math.isinf(t):
            return 0.0 if t > 0 else 1.0
        below = student_t_cdf(abs(t), self.clusters - 1)
        return 1 - below if t >= 0 else below


def paired_proportions(
    hits: Sequence[bool], others: Sequence[bool], clusters: Sequence[Hashable] | None = None
) -> Difference:
    """How much more often something happens than in its pair: the share of `hits` less that of `others`.

    The score statistic of Tango (1998), "Equivalence test and confidence interval for the difference in proportions for
    the paired-sample design", Statistics in Medicine 17:891-908. At 0 it is McNemar's; it keeps an interval of honest
    width where no pair differs. For pairs in clusters the counts are shrunk by the design effect (the clustered
    variance of the mean difference over the unclustered one, at least 1), as in `clustered_wilson`; where no pair
    differs, each cluster counts as one pair. Student's quantile with one degree less than there are clusters stands for
    the normal one.

    Args:
        hits: Whether it happened, pair by pair.
        others: Whether it happened in the other of each pair.
        clusters: The cluster of each pair; None where each stands alone.

    Returns:
        The difference.

    Raises:
        ValueError: The sequences differ in length.
    """
    differences, groups = _paired(hits, others, clusters)
    n, count = len(differences), len(set(groups))
    if n == 0:
        return Difference(None, 0, 0, lambda _: 0.0, 1.0)
    shrink = _effective_share(differences, groups)
    more, fewer = (shrink * sum(d == sign for d in differences) for sign in (1, -1))
    pairs = shrink * n
    return Difference(
        math.fsum(differences) / n, n, count, lambda supposed: _tango(more, fewer, pairs, supposed), reach=1.0
    )


def paired_means(
    values: Sequence[float], others: Sequence[float], clusters: Sequence[Hashable] | None = None
) -> Difference:
    """How much higher values are than their pairs, on average, by Student's t over the means of clusters.

    Args:
        values: Any numbers.
        others: The other of each pair.
        clusters: The cluster of each pair; None where each stands alone.

    Returns:
        The difference of the means.

    Raises:
        ValueError: The sequences differ in length.
    """
    differences, groups = _paired(values, others, clusters)
    n, count = len(differences), len(set(groups))
    if n == 0:
        return Difference(None, 0, 0, lambda _: 0.0, math.inf)
    mean = math.fsum(differences) / n
    return measured_difference(mean, math.sqrt(_clustered_variance(differences, groups)), n, count)


def measured_difference(value: float, error: float, n: int, clusters: int) -> Difference:
    """A difference with a standard error that was found elsewhere, such as by a bootstrap.

    Args:
        value: The difference.
        error: Its standard error; 0 where nothing varied.
        n: Pairs.
        clusters: Groups that they fall into.

    Returns:
        The difference.
    """

    def distance(supposed: float) -> float:
        gap = value - supposed
        return gap / error if error > 0 else math.copysign(math.inf, gap) if gap else 0.0

    # Student's widest useful quantile, with two clusters, is 13; 40 errors hold every interval.
    return Difference(value, n, clusters, distance, reach=abs(value) + 40 * error)


def _paired(
    values: Sequence[float], others: Sequence[float], clusters: Sequence[Hashable] | None
) -> tuple[list[float], Sequence[Hashable]]:
    """The difference of each pair, and its cluster."""
    groups: Sequence[Hashable] = range(len(values)) if clusters is None else clusters
    if not len(values) == len(others) == len(groups):
        raise ValueError(f"{len(values)} values, {len(others)} others and {len(groups)} clusters do not pair")
    return [float(value) - float(other) for value, other in zip(values, others, strict=True)], groups


def _clustered_variance(values: Sequence[float], groups: Sequence[Hashable]) -> float:
    """Variance of a mean of clustered values (Miller 2024, arXiv:2411.00640, with the factor C / (C - 1))."""
    mean = math.fsum(values) / len(values)
    totals: dict[Hashable, float] = {}
    for value, group in zip(values, groups, strict=True):
        totals[group] = totals.get(group, 0.0) + value - mean
    count = len(totals)
    return math.fsum(t**2 for t in totals.values()) * count / max(count - 1, 1) / len(values) ** 2


def _effective_share(values: Sequence[float], groups: Sequence[Hashable]) -> float:
    """What share of clustered values would tell as much, had each stood alone."""
    alone = _clustered_variance(values, range(len(values)))
    if alone == 0:
        return len(set(groups)) / len(values)
    return alone / max(_clustered_variance(values, groups), alone)


def _tango(more: float, fewer: float, n: float, supposed: float) -> float:
    """Tango's score: standard errors between the difference seen, `(more - fewer) / n`, and a supposed one."""
    a, b, c = 2 * n, -more - fewer + (2 * n - more + fewer) * supposed, -fewer * supposed * (1 - supposed)
    other = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    variance = n * (2 * other + supposed * (1 - supposed))
    gap = more - fewer - n * supposed
    if variance <= 0:
        return math.copysign(math.inf, gap) if abs(gap) > 1e-12 else 0.0
    return gap / math.sqrt(variance)
