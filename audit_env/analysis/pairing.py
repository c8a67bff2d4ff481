"""Two auditors on the same targets: difference, test, and the smallest difference that the data could have shown."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np

from audit_env.analysis.answers import Cells
from audit_env.analysis.groups import Target
from audit_env.stats import holm, paired_means, upper_bound_for_zero

EXACT = 16
"""Targets up to which every pattern of signs is tried."""
DRAWS = 20_000
POWER = 0.8


@dataclass(frozen=True)
class Paired:
    """One auditor's rate less another's, target by target."""

    difference: float | None
    low: float
    high: float
    p: float
    """Two-sided, of the sign-flip test."""
    smallest: float
    """Smallest true difference that a two-sided test at 5 % finds with a chance of 80 %."""
    targets: int
    better: int
    """Targets on which the first does better."""
    worse: int


@dataclass(frozen=True)
class Matched:
    """The rates of two auditors on the targets that both audited."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]
    unlike: tuple[str, ...]
    """Ids that both audited, under which there were other weights, or nobody knows which: these make no pairs."""


def matched(ours: Mapping[Target, float], theirs: Mapping[Target, float]) -> Matched:
    """Pair two auditors by target: the same organism, with the same weights.

    Args:
        ours: The first auditor's rate on each target.
        theirs: The second's.

    Returns:
        The pairs, and what could not be paired.
    """
    shared = [target for target in ours if target in theirs and target[1] is not None]
    both = {name for name, _ in ours} & {name for name, _ in theirs}
    return Matched(
        ours=tuple(ours[target] for target in shared),
        theirs=tuple(theirs[target] for target in shared),
        unlike=tuple(sorted(both - {name for name, _ in shared})),
    )


def difference(pairs: Matched) -> Cells:
    """The comparison of two auditors as cells of a table.

    Args:
        pairs: Their rates.

    Returns:
        The first's less the second's with its interval, the test, and the smallest effect that would have shown.
    """
    found = compare(pairs.ours, pairs.theirs)
    return {
        "difference": found.difference,
        "difference_low": found.low,
        "difference_high": found.high,
        "difference_n": found.targets,
        "better": found.better,
        "worse": found.worse,
        "p": found.p,
        "smallest_effect": found.smallest,
    }


def corrected(rows: Sequence[Cells]) -> list[Cells]:
    """Rows of comparisons with p-values for all of them together.

    Args:
        rows: Each with its own p-value.

    Returns:
        The same, with Holm's.
    """
    return [row | {"p_holm": p} for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True)]


def left_out(pairs: Iterable[Matched]) -> tuple[str, ...]:
    """What must be said of targets that make no pair.

    Args:
        pairs: The rates of all auditors that were compared.

    Returns:
        A sentence, or none.
    """
    names = sorted({name for one in pairs for name in one.unlike})
    if not names:
        return ()
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3:,} more" if len(names) > 3 else "")
    return (
        f"Not paired: {shown}. The same id stood for other weights, or a log does not say for which; audit the same "
        "weights again to compare.",
    )


def compare(ours: Sequence[float], theirs: Sequence[float], *, seed: int = 0) -> Paired:
    """Compare two auditors over targets that both audited.

    The test flips the signs of the targets' differences (Fisher 1935, "The design of experiments", section 21): exact
    up to 16 targets that differ, by 20,000 seeded draws beyond. Where each target has one audit by each, it is
    McNemar's exact test. The interval is Student's over targets.

    Args:
        ours: The first auditor's rate on each target.
        theirs: The second's, on the same targets.
        seed: Of the draws.

    Returns:
        The comparison.

    Raises:
        ValueError: If the two sequences differ in length.
    """
    found = paired_means(ours, theirs)
    gaps = np.asarray(ours, dtype=float) - np.asarray(theirs, dtype=float)
    low, high = (max(-1.0, found.interval()[0]), min(1.0, found.interval()[1])) if len(gaps) else (-1.0, 1.0)
    if len(gaps) > 1 and not gaps.any():
        # Nothing differed: what Student would call certain is only that few differences were missed.
        bound = upper_bound_for_zero(len(gaps))
        low, high = -bound, bound
    return Paired(
        difference=found.value,
        low=low,
        high=high,
        p=sign_flip(gaps, seed),
        smallest=_smallest(gaps),
        targets=len(gaps),
        better=int((gaps > 0).sum()),
        worse=int((gaps < 0).sum()),
    )


def sign_flip(gaps: Sequence[float] | np.ndarray, seed: int = 0) -> float:
    """Two-sided p-value of differences being as likely to fall either way.

    Args:
        gaps: The differences, one for each target.
        seed: Of the draws, where there are too many patterns to try.

    Returns:
        The p-value; 1 where nothing differs.
    """
    told = np.asarray([gap for gap in gaps if gap], dtype=float)
    if not len(told):
        return 1.0
    seen = abs(told.sum()) - 1e-9
    if len(told) <= EXACT:
        signs = 1 - 2 * (np.arange(2 ** len(told))[:, None] >> np.arange(len(told)) & 1)
        return float((np.abs(signs @ told) >= seen).mean())
    signs = np.random.default_rng(seed).choice((1, -1), size=(DRAWS, len(told)))
    # The pattern that was seen is one of the draws, so that no p-value is 0.
    return (int((np.abs(signs @ told) >= seen).sum()) + 1) / (DRAWS + 1)


def _smallest(gaps: np.ndarray) -> float:
    n = len(gaps)
    if n < 2:
        return 1.0
    error = float(gaps.std(ddof=1)) / sqrt(n)
    if error == 0:
        return upper_bound_for_zero(n)
    normal = NormalDist()
    return min((normal.inv_cdf(0.975) + normal.inv_cdf(POWER)) * error, 1.0)
