"""The zoo at a glance: what each recipe does to each row, with the organism as the unit."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import sqrt
from statistics import fmean, variance

from audit_env.catalog.models import Strict
from audit_env.naturalness.report import in_table
from audit_env.naturalness.sheet import BANNER, Naturalness, Row
from audit_env.stats import paired_means, student_t_quantile

HEADINGS = (
    "row",
    "recipe",
    "organisms",
    "base",
    "organism less base, 95 %",
    "organism less sham, 95 %",
    "organisms less all shams, 95 %",
    "verdicts",
)


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
    """Against the one sham that each was measured with, whose own luck is in no interval."""
    shams: int
    """Shams of the recipe that were measured themselves."""
    versus_shams: Spread | None = None
    """Mean of the organisms less mean of these shams, each less the base; the interval holds the luck of both. None
    with fewer than two of either."""
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
    of_shams: dict[tuple[str, str], list[float]] = defaultdict(list)
    shams = _shams(sheets)
    for sheet in sheets:
        for row in sheet.rows:
            if row.versus_base is not None and row.verdict != "not_measured":
                found[row.name, recipe_of(sheet)].append(row)
                for recipe in shams.get(sheet.organism, ()):
                    of_shams[row.name, recipe].append(row.versus_base.difference)
    order = list(dict.fromkeys(row.name for sheet in sheets for row in sheet.rows))
    keys = sorted(found, key=lambda key: (order.index(key[0]), key[1]))
    return [_cell(name, recipe, found[name, recipe], of_shams[name, recipe]) for name, recipe in keys]


def _shams(sheets: Sequence[Naturalness]) -> dict[str, set[str]]:
    """By id, of which recipes a sham is one.

    Of those of the organisms that were measured with it, or with the sham that it is another seed or kind of.
    """
    measured_with: dict[str, set[str]] = defaultdict(set)
    for sheet in sheets:
        if sheet.sham is not None and not recipe_of(sheet).startswith("sham "):
            measured_with[sheet.sham].add(recipe_of(sheet))
    names = [sheet.organism for sheet in sheets if recipe_of(sheet).startswith("sham ")]
    return {name: measured_with.get(name) or measured_with.get(name.rpartition(".")[0], set()) for name in names}


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


def _cell(name: str, recipe: str, rows: Sequence[Row], shams: Sequence[float]) -> Cell:
    verdicts: dict[str, int] = defaultdict(int)
    for row in rows:
        verdicts[row.verdict] += 1
    sham = [row.versus_sham.difference for row in rows if row.versus_sham is not None]
    differences = [row.versus_base.difference for row in rows if row.versus_base is not None]
    return Cell(
        row=name,
        recipe=recipe,
        organisms=len(rows),
        base=fmean(row.base or 0.0 for row in rows),
        versus_base=spread(differences),
        versus_sham=spread(sham) if sham else None,
        shams=len(shams),
        versus_shams=_apart(differences, shams) if min(len(differences), len(shams)) > 1 else None,
        verdicts=dict(sorted(verdicts.items())),
    )


def spread(differences: Sequence[float]) -> Spread:
    """A mean with its interval.

    Args:
        differences: One of each organism, or of each pair of them.

    Returns:
        The mean, and Student's t over them.
    """
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
        told(cell.versus_base),
        "" if cell.versus_sham is None else told(cell.versus_sham),
        "" if cell.versus_shams is None else f"{told(cell.versus_shams)}, {cell.shams} shams",
        verdicts,
    )


def _apart(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Difference of two means, with Welch's interval: the two need not vary alike."""
    mean = fmean(ours) - fmean(theirs)
    errors = [variance(part) / len(part) for part in (ours, theirs)]
    if not any(errors):
        return Spread(mean=mean)
    degrees = sum(errors) ** 2 / sum(e**2 / (len(p) - 1) for e, p in zip(errors, (ours, theirs), strict=True))
    # Rounded down: a little too wide rather than too narrow.
    half = student_t_quantile(0.975, max(1, int(degrees))) * sqrt(sum(errors))
    return Spread(mean=mean, low=mean - half, high=mean + half)


def told(found: Spread) -> str:
    """A mean difference as a cell of a table.

    Args:
        found: The difference.

    Returns:
        Such as `-0.075 [-0.122, -0.028]`.
    """
    if found.low is None or found.high is None:
        return f"{found.mean:+.3f}"
    return f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
