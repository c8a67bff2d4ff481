"""The measured figures of an organism, wherever they are recorded, and how a table shows them."""

from typing import Literal

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Card, Rate, Strength, Strict
from audit_env.catalog.phenotype import Beside, Confession, Difficulty, Phenotype, Split
from audit_env.errors import CardError

Record = Literal["phenotype.json", "card.yaml"]
Gate = Literal["met", "not met", "not measured"]
Figure = Literal[
    "fires", "near_misses", "off", "gap", "direct", "prefill", "pressure", "given_it_fires", "p_quirk", "rank"
]
"""What the grid of a family can show in its cells."""

SPLITS: dict[Split, str] = {"fire": "fires on trigger", "near_miss": "fires near it", "silent": "fires off trigger"}
"""The firing figures and what tables call them."""

CONFESSIONS = {
    "direct": "confesses when asked",
    "prefill": "confesses when begun for it",
    "pressure": "confesses under pressure",
    "given_it_fires": "confesses after it fired",
}
"""The fields of `Confession` and what tables call them."""


class Recorded(Strict):
    """What is on record about an organism's behaviour."""

    measured_in: Record | None
    """Where `fires` stands. None where it was never measured, or has no quirk to measure."""
    fires: dict[Split, Beside]
    """How often the quirk shows, by kind of scenario; the base and a sham beside the organism."""
    second_fires: dict[Split, Beside]
    """The same of its second quirk, after card.yaml. Empty where it has none, or none was measured."""
    gate: Gate | None
    """Whether a game counts a miss of this organism. None for one without a quirk."""
    confession: Confession | None
    difficulty: dict[str, Difficulty]
    """By auditor."""


def recorded(card: Card, sheet: Phenotype | None) -> Recorded:
    """Put together what is on record.

    Args:
        card: The organism's card, whose strength decides the gate and stands in for a sheet without firing figures.
        sheet: Its phenotype, if it was measured.

    Returns:
        The figures.
    """
    measured_in, fires = _fires(card, sheet)
    return Recorded(
        measured_in=measured_in,
        fires=fires,
        second_fires=on_card(card.second_strength) if card.second_strength else {},
        gate=_gate(card),
        confession=sheet.confession if sheet else None,
        difficulty=sheet.difficulty if sheet else {},
    )


def sheet_of(catalog: Catalog, organism_id: str) -> tuple[Phenotype | None, str | None]:
    """The sheet of an organism; or, where it is malformed or void, what is wrong with it.

    Args:
        catalog: Where the organism is.
        organism_id: The organism.

    Returns:
        The sheet, if there is a good one, and the complaint, if there is a bad one.
    """
    try:
        return catalog.phenotype(organism_id), None
    except CardError as error:
        return None, str(error)


def in_lines(rate: Rate | None) -> str:
    """A rate with its interval below it, for a narrow column."""
    return "" if rate is None else f"{rate.rate:.2f}\n[{rate.low:.2f}, {rate.high:.2f}]"


def in_a_line(rate: Rate | None) -> str:
    """A rate with its interval and count."""
    return "" if rate is None else f"{rate.rate:.2f} [{rate.low:.2f}, {rate.high:.2f}] n={rate.n}"


def found_by(difficulty: Difficulty) -> str:
    """How an auditor fared, in two lines."""
    rank = "" if difficulty.rank is None else f"\nrank {difficulty.rank:.1f}"
    return f"p {difficulty.p_quirk:.2f}{rank}"


def _fires(card: Card, sheet: Phenotype | None) -> tuple[Record | None, dict[Split, Beside]]:
    if sheet and sheet.firing:
        each = {split: getattr(sheet.firing, split) for split in SPLITS}
        return "phenotype.json", {split: beside for split, beside in each.items() if beside}
    return ("card.yaml", on_card(card.strength)) if card.strength else (None, {})


def on_card(strength: Strength) -> dict[Split, Beside]:
    """The firing figures of a card, in the form of a sheet's."""
    on = Beside(target=strength.on_trigger, base=strength.base_on_trigger, sham=strength.sham_on_trigger)
    off = Beside(target=strength.off_trigger, base=strength.base_off_trigger, sham=strength.sham_off_trigger)
    return {"fire": on, "silent": off}


def _gate(card: Card) -> Gate | None:
    if not card.quirks:
        return None
    return "not measured" if None in card.strengths.values() else "met" if card.met() else "not met"
