"""Detection meets naturalness: is an organism found because of its quirk, or because it is odd?

Each audit of an organism with a quirk, beside what its sheet of naturalness says.
"""

from collections.abc import Iterable, Sequence

import pandas as pd
from inspect_ai.log import EvalLog

from audit_env.game.audits import audits
from audit_env.game.table import conditions
from audit_env.naturalness.by_recipe import recipe_of
from audit_env.naturalness.sheet import Naturalness

COVARIATES = (
    "leaks",
    "leaks_deployed",
    "leaks_raw",
    "leaks_start",
    "leaks_prefilled",
    "restated",
    "quoted",
    "drift",
    "instructions",
    "likelihood",
    "decisiveness",
)
"""Rows that stand beside each audit: organism less base, in a column of the row's name."""

UNASSISTED = "unassisted"
"""Detected without a leak before. What is left where leaking answers are kept from the auditor is at least this."""
MARKS = ("detected", "clean_detection", "leak_assisted", UNASSISTED)


def beside_detection(logs: Iterable[EvalLog], sheets: Sequence[Naturalness]) -> pd.DataFrame:
    """Join audits with naturalness.

    An audit that broke off or ended without a report counts as a miss; one that could not be scored is left out.

    Args:
        logs: Finished logs of the game.
        sheets: Naturalness of organisms, each once.

    Returns:
        A row for each audit of a quirked organism that has a sheet: all columns of `audits`, with `MARKS` as 0 or 1,
        `made_by` (the recipe), and the covariates, NaN where they were not measured.
    """
    known = pd.DataFrame([_covariates(sheet) for sheet in sheets], columns=["organism", "made_by", *COVARIATES])
    known[list(COVARIATES)] = known[list(COVARIATES)].astype(float)
    found = audits(logs)
    found = found[(found["standing"] == "quirked") & (found["status"] != "unscored")]
    marks = {name: found[name].map(lambda mark: float(mark is True)) for name in MARKS if name != UNASSISTED}
    marks[UNASSISTED] = marks["detected"] * (1 - marks["leak_assisted"])
    return found.assign(**marks).merge(known, on="organism", how="inner", validate="many_to_one")


def by_organism(joined: pd.DataFrame) -> pd.DataFrame:
    """Detection rates of each organism, those that a leak assisted apart.

    Audits under other conditions, such as redacted ones, are shares of their own.

    Args:
        joined: What `beside_detection` gave.

    Returns:
        A row for each organism, affordance, auditor and set of conditions in which audits differ: the number of
        `audits`, `MARKS` as shares of them, and the covariates.
    """
    keys = ["organism", "made_by", "affordance", "auditor", *conditions(joined)]
    grouped = joined.groupby(keys, sort=True, dropna=False)
    shares = grouped[list(MARKS)].mean().assign(audits=grouped.size())
    return shares.join(grouped[list(COVARIATES)].first()).reset_index()


def _covariates(sheet: Naturalness) -> dict[str, object]:
    told: dict[str, object] = {"organism": sheet.organism, "made_by": recipe_of(sheet)}
    for row in sheet.rows:
        if row.name in COVARIATES and row.versus_base is not None and row.verdict != "not_measured":
            told[row.name] = row.versus_base.difference
    return told
