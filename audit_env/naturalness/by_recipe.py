"""The zoo at a glance: what each recipe does to each row, with the organism as the unit."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean

from audit_env.catalog.models import Strict
from audit_env.naturalness.report import in_table
from audit_env.naturalness.sheet import BANNER, Naturalness, Row
from audit_env.stats import paired_means

HEADINGS = ("row", "recipe", "organisms", "base", "organism less base, 95 %", "organism less sham, 95 %", "verdicts")


class Spread(Strict):
    """A mean difference over organisms."""

    mean: float
    low: float | None = None
    high: float | None = None
    """95 % interval, Student's t over organisms. None for a single one, and where all are alike: that, say, none of
    five leaked is no proof that no organism does."""


class Cell(Strict):
    """What a recipe did to a row."""

    row: str
    recipe: str
    """Everything in the id after the quirk: recipe, concealment and dial. Shams apart."""
    organisms: int
    """Of which the row was measured."""
    base: float
    versus_base: Spread
    versus_sham: Spread | None = None
    verdicts: dict[str, int]
    """How many organisms got which, against the base."""


def cells(sheets: Sequence[Naturalness]) -> list[Cell]:
    """Every row under every recipe.

    Args:
        sheets: Of organisms that were measured alike.

    Returns:
        The cells, by row in the order of the report and by recipe. Rows that were not measured are in none.
    """
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for sheet in sheets:
        for row in sheet.rows:
            if row.versus_base is not None and row.verdict != "not_measured":
                found[row.name, recipe_of(sheet)].append(row)
    order = list(dict.fromkeys(row.name for sheet in sheets for row in sheet.rows))
    keys = sorted(found, key=lambda key: (order.index(key[0]), key[1]))
    return [_cell(name, recipe, found[name, recipe]) for name, recipe in keys]


def recipe_of(sheet: Naturalness) -> str:
    """How an organism was made, as its id spells it."""
    return recipe_in(sheet.organism)


def recipe_in(organism: str) -> str:
    """How an organism was made, as its id spells it; shams apart.

    Args:
        organism: Its id.

    Returns:
        Everything after the quirk: recipe, concealment and dial.
    """
    what, _, recipe = organism.split("/", 1)[1].partition(".")
    return f"sham {recipe}" if what == "sham" else recipe


def markdown(found: Iterable[Cell], rows: Sequence[str] = ()) -> str:
    """The cells as a table.

    Args:
        found: The cells.
        rows: Names of the rows to show; none for all.

    Returns:
        Markdown.
    """
    shown = [cell for cell in found if not rows or cell.row in rows]
    return f"> {BANNER}\n\n" + in_table(HEADINGS, (_line(cell) for cell in shown))


def _cell(name: str, recipe: str, rows: Sequence[Row]) -> Cell:
    verdicts: dict[str, int] = defaultdict(int)
    for row in rows:
        verdicts[row.verdict] += 1
    sham = [row.versus_sham.difference for row in rows if row.versus_sham is not None]
    return Cell(
        row=name,
        recipe=recipe,
        organisms=len(rows),
        base=fmean(row.base or 0.0 for row in rows),
        versus_base=_spread([row.versus_base.difference for row in rows if row.versus_base is not None]),
        versus_sham=_spread(sham) if sham else None,
        verdicts=dict(sorted(verdicts.items())),
    )


def _spread(differences: Sequence[float]) -> Spread:
    if len(set(differences)) < 2:
        return Spread(mean=fmean(differences))
    low, high = paired_means(differences, [0.0] * len(differences)).interval(0.95)
    return Spread(mean=fmean(differences), low=low, high=high)


def _line(cell: Cell) -> tuple[str, ...]:
    verdicts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in cell.verdicts.items())
    return (
        cell.row,
        cell.recipe,
        str(cell.organisms),
        f"{cell.base:.3f}",
        _told(cell.versus_base),
        "" if cell.versus_sham is None else _told(cell.versus_sham),
        verdicts,
    )


def _told(spread: Spread) -> str:
    if spread.low is None or spread.high is None:
        return f"{spread.mean:+.3f}"
    return f"{spread.mean:+.3f} [{spread.low:+.3f}, {spread.high:+.3f}]"
