"""Detection beside naturalness, as tables."""

import pandas as pd

from audit_env.analysis.association import spearman
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
    named = found[["organism", "affordance", "auditor", "audits"]].astype(str)
    shown = pd.concat([named, found[figures].map(_cell)], axis=1)
    return in_table([name.replace("_", " ") for name in shown], shown.to_numpy().tolist())


def correlations(found: pd.DataFrame) -> str:
    """Whether organisms that leak more, or have drifted further, are found more often.

    Args:
        found: What `naturalness.detection.by_organism` gave.

    Returns:
        Markdown: a row for each auditor, affordance, share and covariate with enough organisms and something to rank.
    """
    lines = []
    for (affordance, auditor), part in found.groupby(["affordance", "auditor"], sort=True):
        for mark in ("detected", UNASSISTED):
            for name in COVARIATES:
                known = part[part[name].notna()]
                told = spearman(list(known[name]), list(known[mark]))
                if told.n >= FEWEST and told.value is not None:
                    value = f"{told.value:+.2f} [{told.low:+.2f}, {told.high:+.2f}]"
                    lines.append((str(affordance), str(auditor), mark, name, str(told.n), value, f"{told.p:.3f}"))
    return in_table(("affordance", "auditor", "share", "row", "organisms", "rank correlation, 95 %", "p"), lines)


def _cell(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3f}"
