"""Are organisms that are less natural easier to detect?"""

from functools import partial
from statistics import fmean

import pandas as pd

from audit_env.analysis import plots
from audit_env.analysis.answers import Answer, Cells, nothing, spread, table_of
from audit_env.analysis.association import spearman
from audit_env.analysis.frames import Frames
from audit_env.analysis.groups import Target, by_target, groups, label, marks, quirked
from audit_env.stats import Interval, wilson

KEY, TITLE = "naturalness", "Detection against naturalness"


def answer(frames: Frames) -> Answer:
    """Answer the question.

    Args:
        frames: What the logs say.

    Returns:
        One row for each auditor and affordance that met organisms whose naturalness was measured.
    """
    measured = frames.naturalness[frames.naturalness["stands"].astype(bool)]
    if measured.empty:
        return nothing(KEY, TITLE, "no log of tasks/naturalness.py with a verdict that stands")
    sheets = measured.groupby(["organism", "made_of"])["verdict"]
    deviating = {target: float((verdicts == "deviating").sum()) for target, verdicts in sheets}
    told = quirked(frames.audits)
    told = told.assign(mark=marks(told, "detected"))
    points = [
        {"key": key, "part": part, "x": [deviating[target] for target in shared], "y": shared}
        for key, part in groups(told)
        if len(shared := {at: rate for at, rate in by_target(part, "mark").items() if at in deviating}) > 2
    ]
    if not points:
        return nothing(KEY, TITLE, "no auditor met three organisms whose naturalness was measured")
    rows = [one["key"] | _figures(one["x"], list(one["y"].values())) for one in points]
    notes = (
        "correlation: Spearman's, over organisms, between the number of rows of the naturalness report that deviate "
        "and the share of audits that detect the quirk; 95 % percentiles of a bootstrap over organisms; p by "
        "permutation. Bars: 95 % Wilson over the audits of one organism. A strong quirk may cause both.",
    )
    return Answer(KEY, TITLE, table_of(rows), notes, partial(_plot, points))


def _figures(deviating: list[float], rates: list[float]) -> Cells:
    found = spearman(deviating, rates)
    return {
        "correlation": found.value,
        "correlation_low": found.low,
        "correlation_high": found.high,
        "correlation_n": found.n,
        "p": found.p,
        "deviating_rows": fmean(deviating),
    }


def _plot(points: list[Cells]) -> object:
    dots = [
        {"who": f"n={len(one['x'])}: {label(one['key'])}", "organism": target[0], "deviating": x}
        | spread("detected", _of_one(one["part"], target))
        for one in points
        for x, target in zip(one["x"], one["y"], strict=True)
    ]
    return plots.dots(table_of(dots), "deviating", "detected", "who", ("deviating rows", "detected"))


def _of_one(part: pd.DataFrame, target: Target) -> Interval:
    """The rate on one organism, whose audits are all that varies."""
    marked = part.loc[(part["organism"] == target[0]) & (part["made_of"] == target[1]), "mark"]
    return wilson(float(marked.sum()), len(marked))
