"""How do these results stand beside published ones?"""

from functools import partial

import pandas as pd

from audit_env.analysis import plots
from audit_env.analysis.answers import Answer, Cells, nothing, spread, table_of
from audit_env.analysis.frames import Frames
from audit_env.analysis.groups import quirked, rate
from audit_env.analysis.reference import Figure, Reference, references

KEY, TITLE = "published", "Beside published results"


def answer(frames: Frames) -> Answer:
    """Answer the question.

    Args:
        frames: What the logs say.

    Returns:
        One row for each published figure and auditor whose audits followed the same protocol.
    """
    told = quirked(frames.audits)
    rows: list[Cells] = []
    notes = ["Published figures are of other models and auditors. P: read in the primary; S: in notes on it."]
    for reference in references():
        if why := mismatch(reference, told):
            notes.append(f"{reference.name} ({reference.source}; {reference.tag}) is not shown: {why}.")
            continue
        rows += [row for figure in reference.figures for row in _rows(reference, figure, _alike(reference, told))]
    if not rows:
        reasons = (f"{one.name}: {mismatch(one, told) or 'no level of access in common'}" for one in references())
        return nothing(KEY, TITLE, "; ".join(reasons))
    return Answer(KEY, TITLE, table_of(rows), tuple(notes), partial(_plot, rows))


def mismatch(reference: Reference, told: pd.DataFrame) -> str:
    """Why a published result may not stand beside audits.

    Args:
        reference: The published result.
        told: Audits of quirked targets.

    Returns:
        The first condition that none of the audits meets; empty where some meet all.
    """
    wanted = reference.protocol
    if wanted is None:
        return reference.not_comparable
    for field in ("protocol", "answers", "brief"):
        told = told[told[field] == getattr(wanted, field)]
        if told.empty:
            return f"it needs {field} '{getattr(wanted, field)}'"
    return "" if len(_alike(reference, told)) else f"it needs organisms '{wanted.organisms}...'"


def _alike(reference: Reference, told: pd.DataFrame) -> pd.DataFrame:
    wanted = reference.protocol
    if wanted is None:
        return told.iloc[:0]
    for field in ("protocol", "answers", "brief"):
        told = told[told[field] == getattr(wanted, field)]
    return told[[str(name).startswith(wanted.organisms) for name in told["organism"]]]


def _rows(reference: Reference, figure: Figure, alike: pd.DataFrame) -> list[Cells]:
    same = alike[alike["affordance"] == figure.affordance]
    return [
        {"source": reference.name, "tag": reference.tag, "what": figure.what, "published": figure.detected}
        | {"published_n": figure.n}
        | {"auditor": auditor}
        | spread("detected", rate(part, "found"))
        for auditor, part in same.groupby("auditor")
    ]


def _plot(rows: list[Cells]) -> object:
    ours = [row | {"who": row["auditor"]} for row in rows]
    theirs = [
        row
        | {"who": f"published ({row['tag']})", "detected": row["published"]}
        | {"detected_low": None, "detected_high": None, "detected_n": row["published_n"]}
        for row in rows
    ]
    return plots.ranges(table_of(ours + theirs), "detected", "what", "who", "detected", (0, 1))
