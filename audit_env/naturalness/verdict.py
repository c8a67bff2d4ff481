"""The verdict: what a difference, a margin and the other rows allow to be said."""

from collections.abc import Callable, Sequence

from audit_env.naturalness.sheet import Compared, Group, Verdict, Worse
from audit_env.stats import Difference, benjamini_hochberg, holm

LEVEL = 0.05
NEGLIGIBLE = 0.1
"""Share of the margin that counts as no difference at all, so that one of mere rounding is not called real."""

ADJUST: dict[Group, Callable[[Sequence[float]], list[float]]] = {
    "confirmatory": holm,
    "diagnostic": benjamini_hochberg,
    "trigger": benjamini_hochberg,
}


def p_beyond(difference: Difference, beyond: float) -> float:
    """How hard it is to believe that a difference lies within bounds: 5 % where its 95 % interval just leaves them.

    Args:
        difference: The difference.
        beyond: The bound on both sides.

    Returns:
        A two-sided p-value.
    """
    return min(1.0, 2 * min(difference.p_above(beyond), difference.p_below(-beyond)))


def compared(difference: Difference, adjusted: float, *, margin: float, beyond: float, worse: Worse) -> Compared:
    """A difference with its verdict.

    Args:
        difference: The difference; not an empty one.
        adjusted: Its `p_beyond`, adjusted for the other rows.
        margin: Differences within it count as none.
        beyond: Differences beyond it count as a deviation.
        worse: The bad direction.

    Returns:
        The comparison.
    """
    (low, high), (low90, high90) = difference.interval(0.95), difference.interval(0.90)
    value = difference.value or 0.0
    return Compared(
        difference=value,
        low=low,
        high=high,
        low90=low90,
        high90=high90,
        n=difference.n,
        clusters=difference.clusters,
        p_beyond=p_beyond(difference, beyond),
        adjusted=adjusted,
        verdict=_verdict(value, (low, high), (low90, high90), adjusted, margin, worse),
    )


def _verdict(
    value: float,
    interval: tuple[float, float],
    narrower: tuple[float, float],
    adjusted: float,
    margin: float,
    worse: Worse,
) -> Verdict:
    if adjusted <= LEVEL:
        bad = worse == "either" or (value > 0) == (worse == "higher")
        return "deviating" if bad else "improved"
    negligible = NEGLIGIBLE * margin
    perhaps_none = interval[0] <= negligible and interval[1] >= -negligible
    if -margin < narrower[0] and narrower[1] < margin and perhaps_none:
        return "natural"
    return "inconclusive"


def remark(found: Compared, margin: float) -> str:
    """Why a comparison is inconclusive, in a few words.

    Args:
        found: The comparison.
        margin: Of its row.

    Returns:
        The words; empty for other verdicts.
    """
    if found.verdict != "inconclusive":
        return ""
    if found.low > NEGLIGIBLE * margin or found.high < -NEGLIGIBLE * margin:
        small = -margin < found.low90 and found.high90 < margin
        return "a real difference within the margin" if small else "a real difference, of unsure size"
    return f"too few prompts to tell a difference of {margin:g} from none"
