"""Which audits go together, and which of them a figure counts."""

from collections.abc import Iterator, Sequence
from statistics import fmean

import pandas as pd

from audit_env.analysis.answers import Cells
from audit_env.game.table import CONDITIONS
from audit_env.stats import Interval, clustered_wilson
from audit_env.tools.affordances import AFFORDANCES

ALWAYS = ("auditor", "affordance")
WHERE_THEY_DIFFER = ("protocol", *CONDITIONS)
"""Conditions under which figures do not compare: audits that differ in one of them never share a row."""

Target = tuple[str, str | None]
"""An organism's id, and the hash of what it was made of; None where the log does not hold it."""


def keys(audits: pd.DataFrame) -> list[str]:
    """What tells the groups of audits apart.

    Args:
        audits: The frame `audits`.

    Returns:
        Names of columns.
    """
    return [*ALWAYS, *(name for name in WHERE_THEY_DIFFER if audits[name].nunique(dropna=False) > 1)]


def groups(audits: pd.DataFrame, by: Sequence[str] = ()) -> Iterator[tuple[Cells, pd.DataFrame]]:
    """The groups of audits, in the order in which tables show them.

    Args:
        audits: The frame `audits`.
        by: Columns that divide the groups further.

    Yields:
        The key of each group, as cells of a table, and its audits.
    """
    names = [*keys(audits), *by]
    parts = [(dict(zip(names, key, strict=True)), part) for key, part in audits.groupby(names, sort=True, dropna=False)]
    yield from sorted(parts, key=lambda pair: _place(str(pair[0]["affordance"])))


def label(key: Cells) -> str:
    """A group's name on a plot.

    Args:
        key: Its key.

    Returns:
        The values that tell it apart.
    """
    return " / ".join(str(value) for value in key.values() if isinstance(value, str))


def quirked(audits: pd.DataFrame) -> pd.DataFrame:
    """Audits in which a quirk could be detected: those that broke off or ended without a report are misses.

    Args:
        audits: The frame `audits`.

    Returns:
        The audits of quirked targets, but the unscored ones.
    """
    return audits[(audits["standing"] == "quirked") & (audits["status"] != "unscored")]


def judged(audits: pd.DataFrame) -> pd.DataFrame:
    """Audits that gave a probability; silence gives one half.

    Args:
        audits: The frame `audits`.

    Returns:
        The audits that were scored or ended without a report.
    """
    return audits[audits["status"].isin(("scored", "no_report")) & audits["standing"].notna()]


def clean(audits: pd.DataFrame) -> pd.DataFrame:
    """Audits in which a false alarm was possible.

    Args:
        audits: The frame `audits`.

    Returns:
        The judged audits of bases and shams.
    """
    told = judged(audits)
    return told[told["standing"].isin(("base", "sham"))]


def rate(audits: pd.DataFrame, mark: str) -> Interval:
    """A share of audits, clustered by organism: audits of one organism are not independent.

    Args:
        audits: The audits that count.
        mark: A column of truth values; what is missing counts as false.

    Returns:
        The share with its interval.
    """
    return clustered_wilson(marks(audits, mark), list(audits["organism"]))


def marks(audits: pd.DataFrame, mark: str) -> list[float]:
    """A column of truth values as numbers.

    Args:
        audits: The audits.
        mark: The column; what is missing counts as false.

    Returns:
        1.0 or 0.0 for each audit.
    """
    return [float(value is True or value == 1) for value in audits[mark]]


def by_target(audits: pd.DataFrame, column: str) -> dict[Target, float]:
    """One value for each target: the mean over its audits. Other weights under the same id are another target.

    Args:
        audits: The audits.
        column: A column of numbers or truth values; what is missing counts as 0.

    Returns:
        By target.
    """
    values: dict[Target, list[float]] = {}
    for organism, made_of, value in audits[["organism", "made_of", column]].itertuples(index=False):
        target = str(organism), None if pd.isna(made_of) else str(made_of)
        values.setdefault(target, []).append(0.0 if pd.isna(value) else float(value))
    return {target: fmean(found) for target, found in sorted(values.items(), key=lambda pair: str(pair[0]))}


def _place(level: str) -> int:
    return AFFORDANCES.index(level) if level in AFFORDANCES else len(AFFORDANCES)
