"""Rates that were measured on one organism after another, over all of them."""

import pandas as pd

from audit_env.analysis.answers import Cells
from audit_env.stats import clustered_wilson


def mean_rate(name: str, part: pd.DataFrame) -> Cells:
    """The mean of organisms' rates as cells of a table.

    Args:
        name: Its column.
        part: One row for each organism, with `organism`, `rate`, `low`, `high` and `n` answers.

    Returns:
        The mean over organisms with its 95 % interval (Wilson over organisms; of a single one its own), and the number
        of answers.
    """
    rates = [float(rate) for rate in part["rate"]]
    found = clustered_wilson(rates, list(part["organism"]))
    low, high = found.low, found.high
    if part["organism"].nunique() == 1 and len(part):
        low, high = float(part["low"].min()), float(part["high"].max())
    return {name: found.rate, f"{name}_low": low, f"{name}_high": high, f"{name}_n": int(part["n"].sum())}
