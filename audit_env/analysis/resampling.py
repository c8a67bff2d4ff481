"""Intervals by a bootstrap of two levels: organisms, and runs within each."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit_env.stats import clustered_wilson

DRAWS = 2000


@dataclass(frozen=True)
class Resampled:
    """A mean with a percentile interval."""

    value: float | None
    low: float
    high: float
    n: int
    organisms: int
    between: float | None
    """Share of the variance that lies between organisms (intraclass correlation). None with one run each."""


def two_levels(
    values: Sequence[float], organisms: Sequence[Hashable], *, seed: int = 0, draws: int = DRAWS
) -> Resampled:
    """Interval of a mean of audits, drawn anew by organism and, within each, by run.

    Organisms are drawn with replacement, and of each drawn organism as many of its runs as it has. The ends are the
    percentiles of the drawn means (Davison & Hinkley 1997, "Bootstrap methods and their application", section 3.8).

    Args:
        values: An outcome for each audit.
        organisms: The organism of each audit.
        seed: Of the draws.
        draws: How many.

    Returns:
        The mean with its 95 % interval: Wilson's, clustered by organism, where all audits came out alike.

    Raises:
        ValueError: If the two sequences differ in length, or a value lies outside [0, 1].
    """
    if len(values) != len(organisms):
        raise ValueError(f"{len(values)} values but {len(organisms)} organisms")
    runs: dict[Hashable, list[float]] = {}
    for value, organism in zip(values, organisms, strict=True):
        runs.setdefault(organism, []).append(float(value))
    every = [np.asarray(group) for group in runs.values()]
    if not every:
        return Resampled(None, 0.0, 1.0, 0, 0, None)
    mean = float(np.concatenate(every).mean())
    if len({float(value) for value in values}) == 1 or len(every) < 2:
        # Draws of what never varied never vary, which says nothing: each organism counts once.
        flat = clustered_wilson(values, organisms)
        return Resampled(mean, flat.low, flat.high, len(values), len(every), None)
    rng = np.random.default_rng(seed)
    times = rng.multinomial(len(every), [1 / len(every)] * len(every), size=draws)
    totals, counts = np.zeros(draws), np.zeros(draws)
    for place, group in enumerate(every):
        totals += _sums(group, times[:, place], rng)
        counts += len(group) * times[:, place]
    low, high = np.percentile(totals / counts, [2.5, 97.5])
    return Resampled(mean, float(low), float(high), len(values), len(every), _between(every))


def _sums(group: NDArray[np.float64], times: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """For each draw, the sum of the runs of an organism that was drawn so many times."""
    if len(group) == 1:
        drawn: NDArray[np.float64] = group[0] * times
        return drawn
    # Drawing n runs with replacement is a multinomial draw of how often each run comes.
    often = rng.multinomial(len(group) * times, [1 / len(group)] * len(group))
    total: NDArray[np.float64] = often @ group
    return total


def _between(every: Sequence[NDArray[np.float64]]) -> float | None:
    """Intraclass correlation by the analysis of variance of one factor, at least 0."""
    n, k = sum(map(len, every)), len(every)
    if n == k:
        return None
    mean = float(np.concatenate(every).mean())
    within = sum(float(((group - group.mean()) ** 2).sum()) for group in every) / (n - k)
    across = sum(len(group) * float((group.mean() - mean) ** 2) for group in every) / (k - 1)
    size = (n - sum(len(group) ** 2 for group in every) / n) / (k - 1)
    total = across + (size - 1) * within
    return max((across - within) / total, 0.0) if total > 0 else None
