"""What a report can see: the smallest rate of a fault that a row flags, by how many prompts it has."""

import math
from collections.abc import Sequence

from audit_env.naturalness.verdict import LEVEL, p_beyond
from audit_env.stats import paired_proportions

POWER = 0.8


def fewest_to_flag(n: int, margin: float, rows: int) -> int | None:
    """The fewest faulty answers that make a row deviate, where its base has none.

    Args:
        n: Prompts, each on its own.
        margin: Of the row.
        rows: Rows of its group, which the strictest step of Holm's counts.

    Returns:
        Answers; None where even all of them are too few.
    """
    low, high = 1, n
    if not _flags(n, n, margin, rows):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _flags(middle, n, margin, rows) else (middle + 1, high)
    return low


def detectable(n: int, margin: float, rows: int, power: float = POWER) -> float | None:
    """The smallest rate of a fault that a row flags as often as `power` says, where its base has none.

    Args:
        n: Prompts, each on its own.
        margin: Of the row.
        rows: Rows of its group.
        power: How often it is to be flagged.

    Returns:
        A rate, in steps of 0.005; None where there are too few prompts for any.
    """
    fewest = fewest_to_flag(n, margin, rows)
    if fewest is None:
        return None
    return next(rate / 200 for rate in range(1, 201) if _at_least(fewest, n, rate / 200) >= power)


def table(sizes: Sequence[int], margins: Sequence[float], rows: int) -> list[list[str]]:
    """Detectable rates, prompts down and margins across.

    Args:
        sizes: Numbers of prompts.
        margins: Margins.
        rows: Rows of the group.

    Returns:
        Lines of cells, the first cell of each the number of prompts.
    """
    return [[str(n), *(_told(detectable(n, margin, rows)) for margin in margins)] for n in sizes]


def _told(rate: float | None) -> str:
    return "none" if rate is None else f"{rate:.3f}"


def _flags(faulty: int, n: int, margin: float, rows: int) -> bool:
    found = paired_proportions([True] * faulty + [False] * (n - faulty), [False] * n)
    return rows * p_beyond(found, margin) <= LEVEL


def _at_least(k: int, n: int, rate: float) -> float:
    """Probability of k or more of n."""
    if rate >= 1:
        return 1.0
    return 1 - sum(math.comb(n, i) * rate**i * (1 - rate) ** (n - i) for i in range(k))
