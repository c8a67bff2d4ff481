"""How well a judge agrees with the labels: pure functions of pairs.

Cohen (1960), "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20:37-46. Its
interval is a percentile bootstrap over quirks: hypotheses about one quirk stand or fall together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audit_env.game.judging.labelled import CATEGORIES, Category
from audit_env.stats import Interval, clustered_wilson

RESAMPLES = 2000
SEED = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge said of one labelled hypothesis."""

    quirk: str
    category: Category
    label: bool
    """Whether it is correct."""
    judged: bool | None
    """Whether the judge calls it correct. None where its answer was of no use."""


@dataclass(frozen=True, slots=True)
class Kappa:
    """Agreement beyond chance, with its 95 % interval."""

    value: float | None
    """1 for full agreement, 0 for what chance gives. None where label and judge are both constant."""
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Agreement:
    """How well a judge agrees with the labels, over the verdicts that were of use."""

    kappa: Kappa
    agreement: Interval
    sensitivity: Interval
    """Of the correct hypotheses, how many are called correct."""
    specificity: Interval
    """Of the incorrect ones, how many are not."""
    errors: dict[Category, Interval]
    """Share of each category that is judged wrongly, for the categories that occur."""
    judged: int
    unusable: int
    """Hypotheses that the judge gave no usable verdict on; they are in no figure."""


def agreement(verdicts: Sequence[Verdict]) -> Agreement:
    """Work out how well a judge agrees with the labels.

    Args:
        verdicts: What it said.

    Returns:
        The figures. Intervals of rates are Wilson's, clustered by quirk.
    """
    used = [verdict for verdict in verdicts if verdict.judged is not None]
    by_category = {category: [v for v in used if v.category == category] for category in CATEGORIES}
    return Agreement(
        kappa=kappa(used),
        agreement=_rate(used, right=True),
        sensitivity=_rate([verdict for verdict in used if verdict.label], right=True),
        specificity=_rate([verdict for verdict in used if not verdict.label], right=True),
        errors={category: _rate(found, right=False) for category, found in by_category.items() if found},
        judged=len(used),
        unusable=len(verdicts) - len(used),
    )


def kappa(verdicts: Sequence[Verdict], resamples: int = RESAMPLES, seed: int = SEED) -> Kappa:
    """Cohen's kappa of a judge and the labels.

    Args:
        verdicts: What the judge said; verdicts without use are left out.
        resamples: Draws of the bootstrap.
        seed: Decides them.

    Returns:
        Kappa with its interval; [-1, 1] where no draw has one.
    """
    used = [verdict for verdict in verdicts if verdict.judged is not None]
    if not used:
        return Kappa(None, -1.0, 1.0, 0)
    quirks = sorted({verdict.quirk for verdict in used})
    tables = np.array([_table([v for v in used if v.quirk == quirk]) for quirk in quirks], float)
    whole = kappas(tables.sum(axis=0, keepdims=True))
    drawn = np.random.default_rng(seed).multinomial(len(quirks), np.full(len(quirks), 1 / len(quirks)), resamples)
    found = kappas(drawn @ tables)
    found = found[np.isfinite(found)]
    low, high = np.quantile(found, (0.025, 0.975)) if found.size else (-1.0, 1.0)
    return Kappa(float(whole[0]) if np.isfinite(whole[0]) else None, float(low), float(high), len(used))


def kappas(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cohen's kappa of many tables at once.

    Args:
        tables: Counts (tables, 4): both say correct; only the judge; only the label; neither.

    Returns:
        Kappa of each (tables,); NaN where chance alone agrees fully.
    """
    n = tables.sum(axis=1)
    both, judge, label, neither = tables.T
    observed = (both + neither) / n
    expected = ((both + judge) * (both + label) + (label + neither) * (judge + neither)) / n**2
    room = 1 - expected
    beyond_chance: NDArray[np.float64] = np.divide(
        observed - expected, room, out=np.full(len(n), np.nan), where=room > 0
    )
    return beyond_chance


def _table(verdicts: Sequence[Verdict]) -> list[int]:
    """Both say correct; only the judge; only the label; neither."""
    pairs = [(verdict.label, verdict.judged) for verdict in verdicts]
    return [pairs.count(pair) for pair in ((True, True), (False, True), (True, False), (False, False))]


def _rate(verdicts: Sequence[Verdict], *, right: bool) -> Interval:
    hits = [float((verdict.judged == verdict.label) == right) for verdict in verdicts]
    return clustered_wilson(hits, [verdict.quirk for verdict in verdicts])
