"""Intervals, scores and curves for audits: pure functions of numbers.

With no data a figure is None and its interval is the whole range: nothing here returns NaN. Counts travel with
every figure.

Confidence is given as `z`, the two-sided normal quantile (`Z95` for 95 %), as in Wilson's formula.
"""

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Z95 = NormalDist().inv_cdf(0.975)
"""Normal quantile of a two-sided 95 % interval, 1.95996."""


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


@dataclass(frozen=True, slots=True)
class Mean:
    """An average and how many values are behind it."""

    value: float | None
    """None where there was nothing to average."""
    n: int


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


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Predictions of about one size, and how often they came true."""

    low: float
    high: float
    predicted: float
    """Mean probability given."""
    observed: Interval
    """Share that came true."""


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

        return _edge(rejected, centre, -self.reach), _edge(rejected, centre, self.reach)

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
        below = _student_t_cdf(abs(t), self.clusters - 1)
        return 1 - below if t >= 0 else below


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


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that keep the chance of any false finding among several tests below the level.

    Holm (1979), "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6:65-70.

    Args:
        p_values: One for each test, in any order and however they depend on each other.

    Returns:
        The adjusted p-values, in the same order.
    """
    adjusted, largest = [1.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that keep the expected share of false findings among all findings below the level.

    Benjamini & Hochberg (1995), "Controlling the false discovery rate", JRSS B 57:289-300.

    Args:
        p_values: One for each test, in any order.

    Returns:
        The adjusted p-values, in the same order.
    """
    count = len(p_values)
    adjusted, smallest = [1.0] * count, 1.0
    for place, index in reversed(list(enumerate(sorted(range(count), key=p_values.__getitem__), start=1))):
        smallest = min(smallest, p_values[index] * count / place)
        adjusted[index] = smallest
    return adjusted


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

    return Auroc(area, _edge(beyond, area, 0.0), _edge(beyond, area, 1.0), m, n)


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
    allowed = budget * len(negatives)
    threshold: float | None = None
    for candidate in sorted({*positives, *negatives}):
        if _at_or_above(negatives, candidate) <= allowed:
            threshold = candidate
            break
    return OperatingPoint(
        threshold,
        tpr=wilson(_at_or_above(positives, threshold), len(positives), z),
        fpr=wilson(_at_or_above(negatives, threshold), len(negatives), z),
    )


def brier(probabilities: Sequence[float], outcomes: Sequence[bool]) -> Mean:
    """Mean squared difference between probabilities and what happened; lower is better, 0.25 for always saying half.

    Brier (1950), "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78:1-3, in the
    common one-sided form for two outcomes (half of Brier's own figure).

    Args:
        probabilities: Probability given to each event.
        outcomes: Whether it happened.

    Returns:
        The score.

    Raises:
        ValueError: The two sequences differ in length, or a probability lies outside [0, 1].
    """
    given, happened = _forecasts(probabilities, outcomes)
    return _mean((given - happened) ** 2)


def log_score(probabilities: Sequence[float], outcomes: Sequence[bool], floor: float = 0.001) -> Mean:
    """Mean surprise at what happened, in nats; lower is better, 0.693 for always saying half.

    Good (1952), "Rational decisions", Journal of the Royal Statistical Society B 14:107-114. Certainty that turns out
    wrong would cost infinitely much, so that one such forecast would drown all others: probabilities are first moved
    into [floor, 1 - floor].

    Args:
        probabilities: Probability given to each event.
        outcomes: Whether it happened.
        floor: Smallest probability that is taken at its word.

    Returns:
        The score.

    Raises:
        ValueError: The two sequences differ in length, or a probability lies outside [0, 1].
    """
    given, happened = _forecasts(probabilities, outcomes)
    clipped = np.clip(given, floor, 1 - floor)
    return _mean(-np.log(np.where(happened == 1, clipped, 1 - clipped)))


def calibration(
    probabilities: Sequence[float], outcomes: Sequence[bool], bins: int = 10, z: float = Z95
) -> list[CalibrationBin]:
    """How often forecasts of each size came true (a reliability table, after Murphy & Winkler 1977).

    Args:
        probabilities: Probability given to each event.
        outcomes: Whether it happened.
        bins: Number of equally wide bins of [0, 1]; a bin holds its lower edge, the last one both edges.
        z: Normal quantile of the confidence level.

    Returns:
        The bins that hold a forecast, lowest first.

    Raises:
        ValueError: The two sequences differ in length, or a probability lies outside [0, 1].
    """
    given, happened = _forecasts(probabilities, outcomes)
    edges = [index / bins for index in range(bins + 1)]
    places = np.clip(np.searchsorted(edges, given, side="right") - 1, 0, bins - 1)
    table: list[CalibrationBin] = []
    for index in range(bins):
        inside = places == index
        count = int(inside.sum())
        if count:
            observed = wilson(float(happened[inside].sum()), count, z)
            table.append(CalibrationBin(edges[index], edges[index + 1], float(given[inside].mean()), observed))
    return table


@cache
def student_t_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t distribution.

    Found by bisection on the exact series for whole degrees of freedom (Abramowitz & Stegun 1964, 26.7.3-26.7.4).

    Args:
        probability: Probability below the quantile, in [0.5, 1).
        degrees: Degrees of freedom, 1 or more.

    Returns:
        The quantile.

    Raises:
        ValueError: An argument is out of range.
    """
    if not 0.5 <= probability < 1 or degrees < 1:
        raise ValueError(f"no quantile for probability {probability} and {degrees} degrees of freedom")
    high = 1.0
    while _student_t_cdf(high, degrees) < probability:
        high *= 2
    low = 0.0
    for _ in range(100):
        middle = (low + high) / 2
        if _student_t_cdf(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _student_t_cdf(t: float, degrees: int) -> float:
    """Probability below `t` >= 0."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for step in range(2 + odd, degrees + 1, 2):
        total += term
        term *= cosine**2 * (step - 1) / step
    within = (angle + sine * total) * 2 / math.pi if odd else sine * total
    return 0.5 + within / 2


def _score_bounds(rate: float, n: float, z: float) -> tuple[float, float]:
    """Wilson's bounds, which rounding may not push past 0, 1 or the rate."""
    scale = 1 + z**2 / n
    centre = (rate + z**2 / (2 * n)) / scale
    half = z * math.sqrt(rate * (1 - rate) / n + z**2 / (4 * n**2)) / scale
    return min(max(centre - half, 0.0), rate), max(min(centre + half, 1.0), rate)


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


def _area_variance(area: float, m: int, n: int) -> float:
    """Variance of a Mann-Whitney area: Hanley & McNeil's, with both counts in its inner terms averaged (Newcombe)."""
    spare = (m + n) / 2 - 1
    inner = 1 + spare * ((1 - area) / (2 - area) + area / (1 + area))
    return area * (1 - area) * inner / (m * n)


def _edge(beyond: Callable[[float], bool], inside: float, end: float) -> float:
    """Where, from `inside` towards `end`, values begin to lie beyond; `end` where none does."""
    outside = end
    for _ in range(60):
        middle = (inside + outside) / 2
        if beyond(middle):
            outside = middle
        else:
            inside = middle
    return outside


def _at_or_above(scores: Sequence[float], threshold: float | None) -> int:
    return 0 if threshold is None else sum(score >= threshold for score in scores)


def _forecasts(
    probabilities: Sequence[float], outcomes: Sequence[bool]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if len(probabilities) != len(outcomes):
        raise ValueError(f"{len(probabilities)} probabilities but {len(outcomes)} outcomes")
    given, happened = np.asarray(probabilities, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError("probabilities must lie in [0, 1]")
    return given, happened


def _mean(values: NDArray[np.float64]) -> Mean:
    return Mean(float(values.mean()) if len(values) else None, len(values))
