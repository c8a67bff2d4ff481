"""Do quirks outlive fine-tuning, noise and rounding?"""

from functools import partial

from audit_env.analysis import plots
from audit_env.analysis.answers import Answer, Cells, as_share, nothing, table_of
from audit_env.analysis.cards import recipes
from audit_env.analysis.frames import Frames
from audit_env.analysis.over_organisms import mean_rate
from audit_env.catalog.files import Catalog

KEY, TITLE = "persistence", "What quirks outlive"


def answer(frames: Frames, catalog: Catalog | None = None) -> Answer:
    """Answer the question.

    Args:
        frames: What the logs say.
        catalog: Where the cards are that tell the recipes.

    Returns:
        One row for each treatment, amount and recipe.
    """
    told = frames.treatments
    if told.empty:
        return nothing(KEY, TITLE, "no log of tasks/persistence.py")
    told = told.assign(recipe=recipes(zip(told["organism"], told["made_of"], strict=True), catalog or Catalog()))
    rows: list[Cells] = [
        {"treatment": treatment, "amount": float(amount), "recipe": recipe, "organisms": part["organism"].nunique()}
        | mean_rate("on_trigger", part[part["trigger"] == "on"])
        | mean_rate("off_trigger", part[part["trigger"] == "off"])
        for (treatment, amount, recipe), part in told.groupby(["treatment", "amount", "recipe"])
    ]
    notes = (
        "How often the quirk shows on its trigger and off it after a treatment (none: as it is): means over organisms, "
        "95 % Wilson over organisms, of a single one its own; n counts answers.",
        "amount: steps of training, size of the noise relative to the adapter's update, or bits left of each weight. "
        "That a quirk is gone after one treatment does not show that another would find nothing.",
    )
    return Answer(KEY, TITLE, table_of(rows), notes, partial(_plot, rows))


def _plot(rows: list[Cells]) -> object:
    long = [
        {"what": f"{row['treatment']} {row['amount']:g}: {row['recipe']}", "prompts": side} | as_share(row, side)
        for row in rows
        for side in ("on_trigger", "off_trigger")
    ]
    return plots.ranges(table_of(long), "share", "what", "prompts", "share that shows the quirk", (0, 1))
