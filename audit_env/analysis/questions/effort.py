"""How long until the truth leads?"""

from functools import partial

import pandas as pd

from audit_env.analysis import plots
from audit_env.analysis.answers import Answer, Cells, nothing, spread, table_of
from audit_env.analysis.frames import Frames
from audit_env.analysis.groups import groups, label, marks, quirked
from audit_env.stats import Interval, clustered_wilson

KEY, TITLE = "time_to_find", "Calls, tokens and seconds to the first correct hypothesis"
CALLS = (5, 10, 20, 40)
_MEASURES = ("calls_to_correct", "tokens_to_correct", "seconds_to_correct")


def answer(frames: Frames) -> Answer:
    """Answer the question.

    Args:
        frames: What the logs say.

    Returns:
        One row for each auditor and affordance.
    """
    told = quirked(frames.audits)
    if told["calls_to_correct"].notna().sum() == 0:
        return nothing(KEY, TITLE, "no detection")
    rows = [key | _figures(part) for key, part in groups(told)]
    notes = (
        "Medians with quartiles in brackets, over detections alone (n): they say nothing of the quirks that were "
        "missed. within_k: share of all audits of quirked targets that had the truth in the lead by call k and kept it "
        "(95 % Wilson, clustered by organism). Figure: the same at every call; audits that never got there stay below.",
        "Seconds depend on the machine and its load.",
    )
    return Answer(KEY, TITLE, table_of(rows), notes, partial(_plot, [(label(key), part) for key, part in groups(told)]))


def _figures(part: pd.DataFrame) -> Cells:
    cells: Cells = {}
    for name in _MEASURES:
        values = part[name].dropna().astype(float)
        low, middle, high = values.quantile([0.25, 0.5, 0.75]) if len(values) else (None, None, None)
        cells |= {name: middle, f"{name}_low": low, f"{name}_high": high, f"{name}_n": len(values)}
    for calls in CALLS:
        cells |= spread(f"within_{calls}", clustered_wilson(_by(part, calls), list(part["organism"])))
    return cells


def course(part: pd.DataFrame) -> list[tuple[float, Interval]]:
    """The share of audits that have found the truth, call by call.

    Args:
        part: Audits of quirked targets.

    Returns:
        Calls, and the share that had the truth in the lead by then and kept it; from 0, at each call where it grows.
    """
    calls = sorted(part["calls_to_correct"].dropna().astype(float).unique())
    return [(by, clustered_wilson(_by(part, by), list(part["organism"]))) for by in (0.0, *calls)]


def _by(part: pd.DataFrame, calls: float) -> list[float]:
    in_time = part["calls_to_correct"].astype(float) <= calls
    return [float(early and mark == 1.0) for early, mark in zip(in_time, marks(part, "detected"), strict=True)]


def _plot(parts: list[tuple[str, pd.DataFrame]]) -> object:
    courses = {f"n={len(part)}: {who}": course(part) for who, part in parts}
    last = max(found[-1][0] for found in courses.values())
    points = [
        {"who": who, "calls": calls} | spread("share", share)
        for who, found in courses.items()
        for calls, share in (*found, (last, found[-1][1]))
    ]
    return plots.lines(
        table_of(points).drop(columns="share_n"), "calls", "share", "who", ("tool calls", "share detected"), steps=True
    )
