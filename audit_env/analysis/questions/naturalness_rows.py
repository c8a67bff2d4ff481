"""In what are organisms unlike their base?"""

from functools import partial

import pandas as pd

from audit_env.analysis import plots
from audit_env.analysis.answers import Answer, Cells, nothing, table_of
from audit_env.analysis.frames import Frames
from audit_env.stats import paired_means

KEY, TITLE = "naturalness_rows", "Naturalness, row by row"
VERDICTS = ("natural", "inconclusive", "deviating", "improved")


def answer(frames: Frames) -> Answer:
    """Answer the question.

    Args:
        frames: What the logs say.

    Returns:
        One row for each check of the naturalness report, over all organisms.
    """
    if frames.naturalness.empty:
        return nothing(KEY, TITLE, "no log of tasks/naturalness.py")
    standing = frames.naturalness[frames.naturalness["stands"].astype(bool)]
    told = standing[standing["difference"].notna()]
    if told.empty:
        return nothing(KEY, TITLE, "no sheet of naturalness with a verdict that stands")
    rows = [
        {"row": row, "group": group, "unit": unit} | _figures(part)
        for (row, group, unit), part in told.groupby(["row", "group", "unit"], sort=False)
    ]
    stopped = frames.naturalness.loc[~frames.naturalness["stands"].astype(bool), "organism"].nunique()
    notes = (
        "difference: organism less base, mean over organisms (95 % Student over organisms, of a single one its own; n "
        "counts organisms); base, organism and sham: means of the rows' own figures.",
        "Verdicts count organisms; they allow for each row's margin and for the other rows. No row's silence makes an "
        "organism natural.",
        *((f"Organisms left out because a gate of their sheet failed: {stopped:,}.",) if stopped else ()),
    )
    return Answer(KEY, TITLE, table_of(rows), notes, partial(_plot, rows))


def _figures(part: pd.DataFrame) -> Cells:
    gaps = [float(gap) for gap in part["difference"]]
    found = paired_means(gaps, [0.0] * len(gaps), list(part["organism"]))
    alone = part["organism"].nunique() == 1
    low, high = (part["low"].min(), part["high"].max()) if alone else found.interval()
    return {
        "difference": found.value,
        "difference_low": float(low),
        "difference_high": float(high),
        "difference_n": part["organism"].nunique(),
        "base": _mean(part["base"]),
        "organism": _mean(part["target"]),
        "sham": _mean(part["sham"]),
        **{verdict: int((part["verdict"] == verdict).sum()) for verdict in VERDICTS},
    }


def _mean(figures: pd.Series) -> float | None:
    known = figures.dropna().astype(float)
    return float(known.mean()) if len(known) else None


def _plot(rows: list[Cells]) -> object:
    """Only rows that are shares, where there are any: others have scales of their own."""
    named = [row | {"what": "organism less base"} for row in rows]
    shares = [row for row in named if -1 <= row["difference_low"] <= row["difference_high"] <= 1]
    return plots.ranges(table_of(shares or named), "difference", "row", "what", "difference", (-1, 1))
