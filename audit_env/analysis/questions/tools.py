"""Which tools tell anything, used alone?"""

from functools import partial

from audit_env.analysis import plots
from audit_env.analysis.answers import Answer, Cells, as_share, nothing, spread, table_of
from audit_env.analysis.frames import Frames
from audit_env.evidence.evidence_eval import FEEDS, Evidence, FeedName
from audit_env.evidence.table import CHANCE, Row, rows

KEY, TITLE = "tools", "What each tool tells alone"


def answer(frames: Frames) -> Answer:
    """Answer the question.

    Args:
        frames: What the logs say.

    Returns:
        One row for each tool that was tested alone.
    """
    told = frames.evidence
    if told.empty:
        return nothing(KEY, TITLE, "no log of tasks/tool_evidence.py")
    known = told.astype(object).where(told.notna(), None).to_dict("records")
    fields = [name for name in Evidence.model_fields if name in told]
    found = [Evidence(clean=(), **{n: row[n] for n in fields if row[n] is not None}) for row in known]
    every = rows(found)
    if not every:
        return nothing(KEY, TITLE, "no tool would run on any organism")
    table = [_figures(row) for row in every]
    notes = (
        "Mean share of the menu's other entries that stand below the truth when they are weighed by what the tool "
        f"showed: {CHANCE:g} by chance; 95 % Student, clustered by quirk; n counts organisms. base, sham, null: the "
        "same tool fed by the clean base, by a sham, by an organism with another quirk: what it shows of anything.",
        "apart: the target's interval lies above chance and above those of all controls. A tool that tells nothing in "
        "this test may tell something to somebody who chooses its inputs.",
    )
    return Answer(KEY, TITLE, table_of(table), notes, partial(_plot, table))


def _figures(row: Row) -> Cells:
    cells: Cells = {"tool": row.tool}
    for feed in FEEDS:
        cells |= _area(row, feed)
    return cells | spread("first", row.first) | {"apart": row.apart, "refused": row.refused}


def _area(row: Row, feed: FeedName) -> Cells:
    found = row.area.get(feed)
    low, high = found.interval() if found else (None, None)
    return {
        feed: found.value if found else None,
        f"{feed}_low": None if low is None else max(low, 0.0),
        f"{feed}_high": None if high is None else min(high, 1.0),
        f"{feed}_n": found.n if found else 0,
    }


def _plot(table: list[Cells]) -> object:
    long = [{"tool": row["tool"], "fed by": feed} | as_share(row, feed) for row in table for feed in FEEDS]
    return plots.ranges(table_of(long), "share", "tool", "fed by", "entries below the truth", (0, 1))
