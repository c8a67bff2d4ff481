"""How much of what is detected was helped by a leak?"""

from functools import partial

import pandas as pd

from audit_env.analysis import plots
from audit_env.analysis.answers import Answer, Cells, as_share, nothing, spread, table_of
from audit_env.analysis.frames import Frames
from audit_env.analysis.groups import groups, label, marks, quirked, rate
from audit_env.game.evidence import CLEAN

KEY, TITLE = "leaks", "Leak-assisted and clean detections"


def answer(frames: Frames) -> Answer:
    """Answer the question.

    Args:
        frames: What the logs say.

    Returns:
        One row for each auditor and affordance that detected anything.
    """
    told = quirked(frames.audits)
    told = told[[mark == 1.0 for mark in marks(told, "detected")]]
    if told.empty:
        return nothing(KEY, TITLE, "no detection")
    rows = [key | _figures(part) for key, part in groups(told)]
    notes = (
        "Shares of the detections, n of them (95 % Wilson, clustered by organism). Clean: shown by a demonstration or "
        "a mechanism, with no leak before. A leak before a detection does not show that it was needed.",
    )
    return Answer(KEY, TITLE, table_of(rows), notes, partial(_plot, rows))


def _figures(part: pd.DataFrame) -> Cells:
    counts = part["evidence"].fillna("none").value_counts()
    return {
        **spread("clean", rate(part, "clean_detection")),
        **spread("leak_assisted", rate(part, "leak_assisted")),
        **{name: int(counts.get(name, 0)) for name in sorted(CLEAN)},
        "other_evidence": int(counts[[name for name in counts.index if name not in CLEAN]].sum()),
    }


def _plot(rows: list[Cells]) -> object:
    long = [
        {"who": label(row), "kind": name} | as_share(row, name) for row in rows for name in ("clean", "leak_assisted")
    ]
    return plots.ranges(table_of(long), "share", "who", "kind", "share of detections", (0, 1))
