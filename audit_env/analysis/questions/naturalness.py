"""Are organisms that are less natural easier to detect?"""

from functools import partial

import pandas as pd

from audit_env.analysis import plots
from audit_env.analysis.answers import Answer, Cells, nothing, table_of
from audit_env.analysis.association import spearman
from audit_env.analysis.frames import Frames
from audit_env.analysis.groups import by_target, groups, label, marks, quirked

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
    deviating = (measured["verdict"] == "deviating").groupby(measured["organism"]).sum()
    told = quirked(frames.audits)
    told = told.assign(mark=marks(told, "detected"))
    points = [
        {"key": key, "x": deviating[list(rates.index)], "y": rates}
        for key, part in groups(told)
        if len(rates := by_target(part[part["organism"].isin(deviating.index)], "mark")) > 2
    ]
    if not points:
        return nothing(KEY, TITLE, "no auditor met three organisms whose naturalness was measured")
    rows = [one["key"] | _figures(one["x"], one["y"]) for one in points]
    notes = (
        "correlation: Spearman's, over organisms, between the number of rows of the naturalness report that deviate "
        "and the share of audits that detect the quirk; 95 % percentiles of a bootstrap over organisms; p by "
        "permutation. A strong quirk may cause both.",
    )
    return Answer(KEY, TITLE, table_of(rows), notes, partial(_plot, points))


def _figures(deviating: pd.Series, rates: pd.Series) -> Cells:
    found = spearman(list(deviating), list(rates))
    return {
        "correlation": found.value,
        "correlation_low": found.low,
        "correlation_high": found.high,
        "correlation_n": found.n,
        "p": found.p,
        "deviating_rows": float(deviating.mean()),
    }


def _plot(points: list[Cells]) -> object:
    dots = [
        {"who": f"{label(one['key'])} (n={len(one['x'])})", "deviating": x, "detected": y}
        for one in points
        for x, y in sorted(zip(one["x"], one["y"], strict=True))
    ]
    axes = ("deviating rows", "detected")
    return plots.dots(table_of(dots), "deviating", "detected", "who", axes)
