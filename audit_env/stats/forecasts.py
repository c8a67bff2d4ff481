"""How good probabilities are that somebody gave to events."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit_env.stats.quantiles import Z95
from audit_env.stats.rates import Interval, wilson


@dataclass(frozen=True, slots=True)
class Mean:
    """An average and how many values are behind it."""

    value: float | None
    """None where there was nothing to average."""
    n: int


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Predictions of about one size, and how often they came true."""

    low: float
    high: float
    predicted: float
    """Mean probability given."""
    observed: Interval
    """Share that came true."""


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
