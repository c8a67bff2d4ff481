"""p-values of several tests at once."""

from collections.abc import Sequence


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
