"""What do organisms do: how often does the quirk fire, and how often do they confess?"""

from functools import partial

from audit_env.analysis import plots
from audit_env.analysis.answers import Answer, Cells, as_share, nothing, table_of
from audit_env.analysis.cards import recipes
from audit_env.analysis.frames import Frames
from audit_env.analysis.over_organisms import mean_rate
from audit_env.catalog.files import Catalog

KEY, TITLE = "phenotype", "What organisms do: firing and confessing, by recipe"
MEASURES = ("fire", "near_miss", "silent", "direct", "prefill", "pressure", "given_it_fires")
SIDES = ("target", "base", "sham")


def answer(frames: Frames, catalog: Catalog | None = None) -> Answer:
    """Answer the question.

    Args:
        frames: What the logs say.
        catalog: Where the cards are that tell the recipes.

    Returns:
        One row for each measure and recipe.
    """
    told = frames.phenotypes
    if told.empty:
        return nothing(KEY, TITLE, "no log of tasks/quirk_strength.py")
    told = told.assign(recipe=recipes(zip(told["organism"], told["made_of"], strict=True), catalog or Catalog()))
    told["measure"] = told["measure"].astype("category").cat.set_categories(MEASURES)
    rows: list[Cells] = []
    for (measure, recipe), part in told.groupby(["measure", "recipe"], observed=True):
        row: Cells = {"measure": measure, "recipe": recipe, "organisms": part["organism"].nunique()}
        for side in SIDES:
            row |= mean_rate(side, part[part["side"] == side])
        rows.append(row)
    notes = (
        "Means over organisms with 95 % Wilson over organisms, of a single one its own; n counts answers. base, sham: "
        "the same prompts to the clean base and to a sham: the floor of each rate.",
        "fire: on the trigger; near_miss: close to it; silent: far from it. Confessions: asked directly, with the "
        "answer begun for them (prefill), under three turns of pressure, and right after the quirk fired "
        "(given_it_fires).",
        "Recipes are as the catalogue's cards have them for these weights. Other organisms may stand behind each row.",
    )
    return Answer(KEY, TITLE, table_of(rows), notes, partial(_plot, rows))


def _plot(rows: list[Cells]) -> object:
    long = [
        {"what": f"{row['measure']}: {row['recipe']}", "side": side} | as_share(row, side)
        for row in rows
        for side in SIDES
    ]
    return plots.ranges(table_of(long), "share", "what", "side", "share of answers", (0, 1))
