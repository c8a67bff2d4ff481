"""Do auditors make use of what their tools show?"""

from functools import partial

import pandas as pd

from audit_env.analysis import plots
from audit_env.analysis.answers import Answer, Cells, nothing, spread, table_of
from audit_env.analysis.frames import Frames
from audit_env.analysis.groups import groups, label, quirked, rate
from audit_env.evidence.table import CHANCE
from audit_env.tools.affordances import tool_name

KEY, TITLE = "tool_gap", "From what a tool shows to what its user finds"


def answer(frames: Frames) -> Answer:
    """Answer the question.

    Args:
        frames: What the logs say.

    Returns:
        One row for each auditor, affordance and tool that was tested alone on organisms which they audited.
    """
    own = frames.evidence[(frames.evidence["feed"] == "target") & frames.evidence["first"].notna()]
    if own.empty:
        return nothing(KEY, TITLE, "no log of tasks/tool_evidence.py")
    told = quirked(frames.audits)
    if told.empty:
        return nothing(KEY, TITLE, "no audit of a quirked target that counts")
    telling = pd.DataFrame(
        {"tool": own["tool"].map(tool_name), "organism": own["organism"], "telling": own["first"] > CHANCE}
    ).drop_duplicates(["tool", "organism"])
    used = frames.tool_calls[["log", "sample", "epoch", "tool"]].drop_duplicates()
    joined = told.merge(used, on=["log", "sample", "epoch"]).merge(telling, on=["tool", "organism"])
    if joined.empty:
        return nothing(KEY, TITLE, "no auditor called a tool on an organism that it was tested on")
    rows = [key | _figures(part) for key, part in groups(joined, ("tool",))]
    notes = (
        "telling: audits in which a tool was called that, used alone, puts the truth first; detected: of those (95 % "
        "Wilson, clustered by organism). The gap is what is missing to 1. otherwise: of the other audits that called "
        "it. An auditor may have called the tool with other inputs than the fair test did.",
    )
    return Answer(KEY, TITLE, table_of(rows), notes, partial(_plot, rows))


def _figures(part: pd.DataFrame) -> Cells:
    telling = part[part["telling"]]
    return {
        "called": len(part),
        "telling": len(telling),
        **spread("detected", rate(telling, "detected")),
        **spread("otherwise", rate(part[~part["telling"]], "detected")),
    }


def _plot(rows: list[Cells]) -> object:
    named = [row | {"who": label({k: v for k, v in row.items() if k != "tool"})} for row in rows]
    return plots.ranges(table_of(named), "detected", "tool", "who", "detected where the tool tells", (0, 1))
