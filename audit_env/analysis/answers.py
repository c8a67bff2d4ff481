"""What a question is answered with: one table, one plot, and what must be said beside them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import pandas as pd

from audit_env.stats import Interval

Cells = dict[str, Any]
"""A row of a table."""


@dataclass(frozen=True)
class Answer:
    """The answer to one question.

    In a table, `x_low`, `x_high` and `x_n` hold the 95 % interval of `x` and its number of observations.
    """

    key: str
    """Short name, as `--only` takes it."""
    title: str
    table: pd.DataFrame = field(default_factory=pd.DataFrame)
    notes: tuple[str, ...] = ()
    """How to read it, and what it does not show."""
    plot: Callable[[], Any] | None = None
    """Makes an Altair chart of the table; None where there is nothing to draw."""
    nothing: str = ""
    """Why there is no answer, in one line. Empty where there is one."""


def nothing(key: str, title: str, why: str) -> Answer:
    """The answer to a question that the logs have no data for.

    Args:
        key: Its short name.
        title: Its title.
        why: What is lacking, in one line.

    Returns:
        The answer.
    """
    return Answer(key, title, nothing=why)


def spread(name: str, rate: Interval) -> Cells:
    """A rate as cells of a table.

    Args:
        name: Its column.
        rate: The rate with its interval.

    Returns:
        The rate, the ends of its interval, and its number of observations.
    """
    return {name: rate.rate, f"{name}_low": rate.low, f"{name}_high": rate.high, f"{name}_n": rate.n}


def figures(table: pd.DataFrame) -> list[str]:
    """The columns of a table that people read: intervals and counts stand in the cells of their figures.

    Args:
        table: The table.

    Returns:
        Their names, in order.
    """
    beside = {f"{name}_{part}" for name in table.columns for part in ("low", "high", "n")}
    return [name for name in table.columns if name not in beside]


def as_share(row: Cells, name: str) -> Cells:
    """One of a row's figures, for a plot that puts several below each other.

    Args:
        row: The row.
        name: The figure.

    Returns:
        It as `share`, with its interval and its count.
    """
    return {"share": row[name]} | {f"share_{part}": row[f"{name}_{part}"] for part in ("low", "high", "n")}


def cell(row: Cells, name: str) -> str:
    """A cell as people read it.

    Args:
        row: The row.
        name: The column.

    Returns:
        Such as "0.25 [0.05, 0.70] n=4".
    """
    value = row[name]
    if value is None or (not isinstance(value, str) and pd.isna(value)):
        return "-"
    if isinstance(value, (str, bool)):
        return str(value)
    if isinstance(value, Integral):
        return f"{value:,}"
    said = _number(float(value))
    low, high, n = (row.get(f"{name}_{part}") for part in ("low", "high", "n"))
    if low is not None and high is not None and pd.notna(low) and pd.notna(high):
        said += f" [{_number(float(low))}, {_number(float(high))}]"
    return said if n is None or pd.isna(n) else f"{said} n={int(n)}"


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100 else f"{value:,.0f}"


def table_of(rows: Sequence[Cells]) -> pd.DataFrame:
    """A table of rows.

    Args:
        rows: The rows, with the same keys.

    Returns:
        The table.
    """
    return pd.DataFrame(list(rows)).infer_objects()
