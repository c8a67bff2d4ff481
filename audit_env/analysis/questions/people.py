"""Do people find more than agents and scripts?"""

from functools import partial

from audit_env.analysis import plots
from audit_env.analysis.answers import Answer, nothing, spread, table_of
from audit_env.analysis.frames import Frames
from audit_env.analysis.groups import clean, quirked, rate

KEY, TITLE = "people", "People, agents and scripts"


def answer(frames: Frames) -> Answer:
    """Answer the question.

    Args:
        frames: What the logs say.

    Returns:
        One row for each sort of auditor and affordance, where people audited.
    """
    audits = frames.audits
    if not (audits["who"] == "person").any():
        return nothing(KEY, TITLE, "no audit by a person")
    rows = [
        {"who": who, "affordance": affordance}
        | spread("clean_detection", rate(quirked(part), "clean_detection"))
        | spread("false_alarm", rate(clean(part), "false_alarm"))
        for (who, affordance), part in audits.groupby(["who", "affordance"])
    ]
    notes = (
        "95 % Wilson, clustered by organism; n counts audits. Auditors of one sort are pooled: with few people the "
        "interval does not cover how people differ from each other.",
    )
    return Answer(KEY, TITLE, table_of(rows), notes, partial(_plot, rows))


def _plot(rows: list[dict[str, object]]) -> object:
    return plots.ranges(table_of(rows), "clean_detection", "affordance", "who", "clean detection", (0, 1))
