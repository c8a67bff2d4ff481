"""Which menu entries are taken for which?"""

from functools import partial

from audit_env.analysis import plots
from audit_env.analysis.answers import Answer, Cells, nothing, spread, table_of
from audit_env.analysis.frames import Frames
from audit_env.analysis.groups import groups, judged, label
from audit_env.stats import clustered_wilson

KEY, TITLE = "confusion", "Confusion among the entries of the menu"
NOTHING = "(nothing)"


def answer(frames: Frames) -> Answer:
    """Answer the question.

    Args:
        frames: What the logs say.

    Returns:
        One row for each auditor, affordance, truth and entry that was named first.
    """
    told = judged(frames.audits)
    told = told[told["answers"] == "menu"]
    if told.empty:
        return nothing(KEY, TITLE, "no audit with answers from the menu")
    told = told.assign(
        truth=told["quirk"].where(told["quirk"].notna(), told["standing"]),
        said=[said if isinstance(said, str) else NOTHING for said in told["named_first"]],
    )
    rows: list[Cells] = []
    for key, part in groups(told, ("truth",)):
        for said, count in part["said"].value_counts().items():
            share = clustered_wilson(list((part["said"] == said).astype(float)), list(part["organism"]))
            rows.append(key | {"named": said} | spread("share", share) | {"audits": int(count)})
    notes = (
        "Of the audits of a truth, the share in which an entry was named first, whatever the verdict (95 % Wilson, "
        "clustered by organism; n counts audits of that truth). Rows base and sham are clean targets. Where a target "
        "has two quirks, the first is its truth.",
    )
    return Answer(KEY, TITLE, table_of(rows), notes, partial(_plot, rows))


def _plot(rows: list[Cells]) -> object:
    named = [row | {"who": label({k: row[k] for k in list(row)[: list(row).index("truth")]})} for row in rows]
    return plots.heat(table_of(named), "share", "truth", "named", "who", "share")
