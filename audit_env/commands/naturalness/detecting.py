"""Detection beside naturalness, as tables."""

import pandas as pd

from audit_env.analysis.association import spearman
from audit_env.game.table import CONDITIONS
from audit_env.naturalness.detection import COVARIATES, MARKS, UNASSISTED
from audit_env.naturalness.report import in_table

FEWEST = 8
"""Organisms, below which nothing is correlated."""


def organisms(found: pd.DataFrame) -> str:
    """Organisms, one a line.

    Args:
        found: What `naturalness.detection.by_organism` gave.

    Returns:
        Markdown; covariates that no organism has are left out, and cells without one are blank.
    """
    figures = [*MARKS, *(name for name in COVARIATES if found[name].notna().any())]
    named = found[["organism", *_conditions(found), "audits"]].map(_name)
    shown = pd.concat([named, found[figures].map(_cell)], axis=1)
    return in_table([name.replace("_", " ") for name in shown], shown.to_numpy().tolist())


def correlations(found: pd.DataFrame) -> str:
    """Whether organisms that leak more, or have drifted further, are found more often.

    Args:
        found: What `naturalness.detection.by_organism` gave.

    Returns:
        Markdown: a row for each affordance, auditor, set of conditions, share and covariate with enough organisms and
        something to rank.
    """
    lines, keys = [], _conditions(found)
    for key, part in found.groupby(keys, sort=True, dropna=False):
        for mark in ("detected", UNASSISTED):
            for name in COVARIATES:
                known = part[part[name].notna()]
                told = spearman(list(known[name]), list(known[mark]))
                if told.n >= FEWEST and told.value is not None:
                    value = f"{told.value:+.2f} [{told.low:+.2f}, {told.high:+.2f}]"
                    lines.append((*map(_name, key), mark, name, str(told.n), value, f"{told.p:.3f}"))
    return in_table((*keys, "share", "row", "organisms", "rank correlation, 95 %", "p"), lines)


def _conditions(found: pd.DataFrame) -> list[str]:
    """What tells the lines of one organism apart."""
    return ["affordance", "auditor", *(name for name in CONDITIONS if name in found)]


def _name(value: object) -> str:
    """A cell that names something; empty where a condition does not apply."""
    return "" if value is None or value != value else str(value)


def _cell(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3f}"
