"""Which quirks are detected, by recipe?"""

from functools import partial

from audit_env.analysis import plots
from audit_env.analysis.answers import Answer, Cells, nothing, spread, table_of
from audit_env.analysis.frames import Frames
from audit_env.analysis.groups import groups, label, quirked, rate
from audit_env.game.table import outcomes, recipe

KEY, TITLE = "by_quirk", "Detection by quirk and recipe"


def answer(frames: Frames) -> Answer:
    """Answer the question.

    Args:
        frames: What the logs say.

    Returns:
        One row for each auditor, affordance, quirk and recipe.
    """
    told = quirked(frames.audits)
    if told.empty:
        return nothing(KEY, TITLE, "no audit of a quirked target that counts")
    told = told.assign(recipe=[recipe(one.instil, one.conceal) for one in outcomes(told)])
    rows = [
        key | spread("detected", rate(part, "detected")) | spread("clean_detection", rate(part, "clean_detection"))
        for key, part in groups(told, ("quirk", "recipe"))
    ]
    notes = ("n counts audits; with one organism in a cell the interval is [0, 1]: a cell alone tells little.",)
    return Answer(KEY, TITLE, table_of(rows), notes, partial(_plot, rows))


def _plot(rows: list[Cells]) -> object:
    named = [row | {"who": label({k: v for k, v in row.items() if k not in ("quirk", "recipe")})} for row in rows]
    return plots.heat(table_of(named), "detected", "quirk", "recipe", "who", "detected")
