"""What turning one dial of a recipe does, and what another seed does by itself: organisms in pairs.

An id ends in the dial that was turned (`flattery.transcripts.none.rank1`); without it stands the organism as the
recipe makes it (`flattery.transcripts.none`). Pairs of the two tell of the dial alone: organisms of a recipe differ far
more by their quirks. A second seed (`.s1`) is the dial that changes nothing but luck, so that its pairs tell how much
of one organism's figure is luck.
"""

import re
from collections.abc import Iterable, Sequence
from math import sqrt
from statistics import fmean, stdev

from audit_env.catalog.models import Strict
from audit_env.naturalness.by_recipe import Spread, recipe_in, spread, told
from audit_env.naturalness.report import in_table
from audit_env.naturalness.sheet import Naturalness

DIALS = ("row", "recipe", "dial", "pairs", "without it", "with it", "difference, 95 %")
SEEDS = ("row", "recipe", "pairs", "second less first, 95 %", "spread of seeds", "spread of organisms")

_SEED = re.compile(r"s\d+")


class Turned(Strict):
    """What a dial did to a row."""

    row: str
    recipe: str
    """Of the organisms with the dial as it was."""
    dial: str
    pairs: int
    without: float
    """Mean difference from the base, of the organisms with the dial as it was."""
    with_it: float
    """The same, with the dial turned."""
    difference: Spread
    """Turned less not turned, pair by pair."""


class Luck(Strict):
    """What another seed did to a row."""

    row: str
    recipe: str
    pairs: int
    difference: Spread
    """Second seed less first, pair by pair."""
    of_seeds: float
    """Standard deviation between seeds of one organism, sampling of answers included."""
    of_organisms: float | None = None
    """Standard deviation between all organisms of the recipe, each by one seed. None for a single one."""


def dials(sheets: Sequence[Naturalness]) -> list[Turned]:
    """What each dial did to each row.

    Args:
        sheets: Of organisms that were measured alike.

    Returns:
        By row in the order of the report, by recipe and dial. Second seeds are in none.
    """
    made = []
    for row, recipe, dial, pairs in _pairs(sheets):
        if not _SEED.fullmatch(dial):
            before, after = zip(*pairs, strict=True)
            made.append(
                Turned(
                    row=row,
                    recipe=recipe,
                    dial=dial,
                    pairs=len(pairs),
                    without=fmean(before),
                    with_it=fmean(after),
                    difference=spread([b - a for a, b in pairs]),
                )
            )
    return made


def seeds(sheets: Sequence[Naturalness]) -> list[Luck]:
    """What another seed did to each row.

    Args:
        sheets: Of organisms that were measured alike.

    Returns:
        By row in the order of the report and by recipe. Shams have more than one further seed, and each is a pair with
        the first.
    """
    alone = _figures(sheets)
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row, recipe, dial, pairs in _pairs(sheets):
        if _SEED.fullmatch(dial):
            found.setdefault((row, recipe), []).extend(pairs)
    made = []
    for (row, recipe), pairs in found.items():
        figures = [figure for name, figure in alone[row].items() if recipe_in(name) == recipe]
        made.append(
            Luck(
                row=row,
                recipe=recipe,
                pairs=len(pairs),
                difference=spread([b - a for a, b in pairs]),
                of_seeds=sqrt(fmean((b - a) ** 2 for a, b in pairs) / 2),
                of_organisms=stdev(figures) if len(figures) > 1 else None,
            )
        )
    return made


def dials_markdown(found: Iterable[Turned], rows: Sequence[str] = ()) -> str:
    """What dials did, as a table.

    Args:
        found: What `dials` gave.
        rows: Names of the rows to show; none for all.

    Returns:
        Markdown. Rows that a dial left as they were in every pair are left out.
    """
    shown = (
        (
            one.row,
            one.recipe,
            one.dial,
            str(one.pairs),
            f"{one.without:+.3f}",
            f"{one.with_it:+.3f}",
            told(one.difference),
        )
        for one in found
        if (not rows or one.row in rows) and _moved(one.difference)
    )
    return in_table(DIALS, shown)


def seeds_markdown(found: Iterable[Luck], rows: Sequence[str] = ()) -> str:
    """What further seeds did, as a table.

    Args:
        found: What `seeds` gave.
        rows: Names of the rows to show; none for all.

    Returns:
        Markdown. Rows that no seed moved are left out.
    """
    shown = (
        (
            one.row,
            one.recipe,
            str(one.pairs),
            told(one.difference),
            f"{one.of_seeds:.3f}",
            "" if one.of_organisms is None else f"{one.of_organisms:.3f}",
        )
        for one in found
        if (not rows or one.row in rows) and one.of_seeds
    )
    return in_table(SEEDS, shown)


def _pairs(sheets: Sequence[Naturalness]) -> Iterable[tuple[str, str, str, list[tuple[float, float]]]]:
    """By row, recipe and dial, the figures of each organism without and with the dial."""
    for row, figures in _figures(sheets).items():
        found: dict[tuple[str, str], list[tuple[float, float]]] = {}
        for name, figure in figures.items():
            without, _, dial = name.rpartition(".")
            if without in figures:
                found.setdefault((recipe_in(without), dial), []).append((figures[without], figure))
        for recipe, dial in sorted(found):
            yield row, recipe, dial, found[recipe, dial]


def _figures(sheets: Sequence[Naturalness]) -> dict[str, dict[str, float]]:
    """By row in the order of the report, each organism's difference from the base; what was not measured is in none."""
    figures: dict[str, dict[str, float]] = {row.name: {} for sheet in sheets for row in sheet.rows}
    for sheet in sheets:
        for row in sheet.rows:
            if row.versus_base is not None and row.verdict != "not_measured":
                figures[row.name][sheet.organism] = row.versus_base.difference
    return figures


def _moved(difference: Spread) -> bool:
    return difference.mean != 0 or difference.low is not None
