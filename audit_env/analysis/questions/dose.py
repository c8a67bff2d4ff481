"""Does a larger dose make a quirk easier to detect?"""

from functools import partial

from audit_env.analysis import plots
from audit_env.analysis.answers import Answer, Cells, nothing, spread, table_of
from audit_env.analysis.cards import of_recipes
from audit_env.analysis.frames import Frames
from audit_env.analysis.groups import groups, label, quirked, rate
from audit_env.catalog.files import Catalog

KEY, TITLE = "dose", "Detection by dose"
DIALS = ("steps", "quirk_share", "rank")


def answer(frames: Frames, catalog: Catalog | None = None) -> Answer:
    """Answer the question.

    Args:
        frames: What the logs say.
        catalog: Where the cards are that tell the doses.

    Returns:
        One row for each auditor, affordance, dial and dose, where the audited organisms of a quirk differ in the dial.
    """
    told = quirked(frames.audits)
    targets = list(zip(told["organism"], told["made_of"], strict=True))
    recipes = of_recipes(targets, catalog or Catalog(), lambda made: {dial: getattr(made, dial) for dial in DIALS})
    told = told.assign(**{dial: [(recipes[target] or {}).get(dial) for target in targets] for dial in DIALS})
    rows: list[Cells] = []
    for dial in DIALS:
        varied = told[told.groupby("quirk")[dial].transform("nunique") > 1] if len(told) else told
        for key, part in groups(varied, (dial,)):
            dose = float(key.pop(dial))
            rows.append(key | {"dial": dial, "dose": dose} | spread("detected", rate(part, "detected")))
    if not rows:
        return nothing(KEY, TITLE, "no quirk was audited at two doses that cards tell")
    notes = (
        "Quirks that were audited at two doses or more alone; 95 % Wilson, clustered by organism; n counts audits. "
        "steps: of training; quirk_share: of the training examples; rank: of the adapter. Doses are as the cards have "
        "them for these weights. Which quirks make up a dose may differ from dose to dose.",
    )
    return Answer(KEY, TITLE, table_of(rows), notes, partial(_plot, rows))


def _plot(rows: list[Cells]) -> object:
    named = [row | {"who": f"{row['dial']}: {label({k: v for k, v in row.items() if k != 'dial'})}"} for row in rows]
    return plots.lines(table_of(named), "dose", "detected", "who", ("dose", "detected"))
