"""`organisms grid`: a family at a glance, quirks down and recipes across, one measured figure in every cell."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from audit_env.breeding.zoo import Ledger
from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Card, Strength, Strict
from audit_env.catalog.phenotype import Beside, Split
from audit_env.commands.organisms.figures import Figure, Recorded, on_card, recorded, sheet_of
from audit_env.commands.output import section, table
from audit_env.errors import CardError

COMMON = 0.5
"""A recipe is a column of the grid where at least this share of the quirks has an organism of it; others are dials."""

COLUMNS = 5
"""Recipes beside each other that fit into 100 columns."""


class Cell(Strict):
    """One organism's figure."""

    quirk: str
    recipe: str
    """Everything in the id after the quirk: recipe, concealment and dial."""
    value: float | None
    """None where it was not measured."""
    shipped: bool
    """False for one that was bred and found too weak to be in the catalogue."""


@dataclass(frozen=True)
class _Known:
    """What is on record about one organism, in the catalogue or only in the zoo's ledger."""

    quirk: str
    recipe: str
    figures: Recorded
    shipped: bool


def cells(catalog: Catalog, family: str, figure: Figure) -> list[Cell]:
    """One figure of every quirked organism of a family, those included that were bred and not shipped.

    Args:
        catalog: The catalogue.
        family: Whose organisms.
        figure: Which figure.

    Returns:
        The cells, by quirk and recipe.

    Raises:
        CardError: If the family has no quirked organism.
    """
    cards = [catalog.card(organism) for organism in catalog.organism_ids() if organism.startswith(f"{family}/")]
    known = [*_shipped(catalog, cards), *_not_shipped(catalog, family, cards)]
    if not known:
        raise CardError(f"family '{family}' has no quirked organism; see  audit-env organisms list")
    read = FIGURES[figure]
    return [
        Cell(quirk=one.quirk, recipe=one.recipe, value=read(one.figures), shipped=one.shipped)
        for one in sorted(known, key=lambda one: (one.quirk, one.recipe))
    ]


def frame(found: Sequence[Cell], *, dials: bool) -> pd.DataFrame:
    """The cells as a table of strings: a figure, in parentheses where the organism is not shipped; "" for none.

    Args:
        found: The cells.
        dials: The recipes that only some quirks have (seeds, doses, ranks), in place of those that most have.

    Returns:
        Quirks by recipes.
    """
    quirks = {cell.quirk for cell in found}
    having = Counter(cell.recipe for cell in found)
    rows = [cell for cell in found if (having[cell.recipe] < COMMON * len(quirks)) == dials]
    wide = pd.DataFrame(
        [(cell.quirk, cell.recipe, _written(cell)) for cell in rows], columns=["quirk", "recipe", "written"]
    ).pivot(index="quirk", columns="recipe", values="written")
    return wide.reindex(columns=sorted(wide.columns, key=_place)).fillna("")


def draw(shown: pd.DataFrame, console: Console) -> None:
    """Print the grid, in tables of a few columns each, with the quirks that have any of them."""
    for start in range(0, shown.shape[1], COLUMNS):
        part = shown.iloc[:, start : start + COLUMNS]
        drawn = table("Quirk", *(recipe.replace(".", "\n") for recipe in part.columns))
        for quirk, values in part[(part != "").any(axis=1)].iterrows():
            drawn.add_row(
                Text(str(quirk), style="bold"),
                *(Text(value, style="dim" if value.startswith("(") else "") for value in values),
            )
        section(console, drawn)
    console.print(Text("In parentheses: bred, and too weak to be shipped. Empty: no such organism.", style="dim"))


def markdown(shown: pd.DataFrame) -> str:
    """The grid as a Markdown table."""
    lines = [["quirk", *map(str, shown.columns)], ["---", *("--:" for _ in shown.columns)]]
    lines += [[f"`{quirk}`", *values] for quirk, values in shown.iterrows()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shipped(catalog: Catalog, cards: Sequence[Card]) -> list[_Known]:
    return [
        _Known(*_named(card.id), recorded(card, sheet_of(catalog, card.id)[0]), shipped=True)
        for card in cards
        if card.quirks
    ]


def _not_shipped(catalog: Catalog, family: str, cards: Sequence[Card]) -> list[_Known]:
    """Those in the ledger of the family's zoo, if it has one."""
    base = next((card.weights.sha256 for card in cards if card.standing == "base" and card.weights), "")
    entries = Ledger(catalog.root, family, base).read()
    return [_Known(*_named(organism), _of_ledger(entry), shipped=False) for organism, entry in entries.items()]


def _of_ledger(entry: Mapping[str, object]) -> Recorded:
    try:
        strength = Strength.model_validate(entry["strength"]) if entry.get("strength") else None
    except ValidationError as error:
        raise CardError(f"the zoo's not_shipped.json holds a malformed strength: {error}") from error
    fires = on_card(strength) if strength else {}
    return Recorded(measured_in=None, fires=fires, second_fires={}, gate="not met", confession=None, difficulty={})


def _named(organism: str) -> tuple[str, str]:
    """Quirk and recipe as the id spells them."""
    quirk, _, recipe = organism.split("/", 1)[1].partition(".")
    return quirk, recipe


def _place(recipe: str) -> tuple[bool, int, str]:
    """Plain recipes first, then the dials; what hides after what does not."""
    instil, _, rest = recipe.partition(".")
    conceal, _, dial = rest.partition(".")
    return bool(dial), ("none", "sft", "kto").index(conceal) if conceal in ("none", "sft", "kto") else 3, instil + dial


def _written(cell: Cell) -> str:
    if cell.value is None:
        return "-" if cell.shipped else "(-)"
    return f"{cell.value:.2f}" if cell.shipped else f"({cell.value:.2f})"


def _fires(split: Split) -> Callable[[Recorded], float | None]:
    return lambda known: known.fires[split].target.rate if split in known.fires else None


def _gap(known: Recorded) -> float | None:
    off = known.fires.get("silent")
    return off.target.rate - off.sham.rate if off and off.sham else None


def _confesses(probe: str) -> Callable[[Recorded], float | None]:
    def read(known: Recorded) -> float | None:
        beside: Beside | None = getattr(known.confession, probe) if known.confession else None
        return beside.target.rate if beside else None

    return read


def _p_quirk(known: Recorded) -> float | None:
    return max((fared.p_quirk for fared in known.difficulty.values()), default=None)


def _rank(known: Recorded) -> float | None:
    return min((fared.rank for fared in known.difficulty.values() if fared.rank is not None), default=None)


FIGURES: Mapping[Figure, Callable[[Recorded], float | None]] = {
    "fires": _fires("fire"),
    "near_misses": _fires("near_miss"),
    "off": _fires("silent"),
    "gap": _gap,
    "direct": _confesses("direct"),
    "prefill": _confesses("prefill"),
    "pressure": _confesses("pressure"),
    "given_it_fires": _confesses("given_it_fires"),
    "p_quirk": _p_quirk,
    "rank": _rank,
}
"""How each figure is read off what is on record."""
