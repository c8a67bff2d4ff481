"""Quantiles that intervals are made with, and where a test begins to reject."""

import math
from collections.abc import Callable
from functools import cache
from statistics import NormalDist

Z95 = NormalDist().inv_cdf(0.975)
"""Normal quantile of a two-sided 95 % interval, 1.95996."""


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
    while student_t_cdf(high, degrees) < probability:
        high *= 2
    low = 0.0
    for _ in range(100):
        middle = (low + high) / 2
        if student_t_cdf(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def student_t_cdf(t: float, degrees: int) -> float:
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


def edge(beyond: Callable[[float], bool], inside: float, end: float) -> float:
    """Where, from `inside` towards `end`, values begin to lie beyond; `end` where none does."""
    outside = end
    for _ in range(60):
        middle = (inside + outside) / 2
        if beyond(middle):
            outside = middle
        else:
            inside = middle
    return outside
