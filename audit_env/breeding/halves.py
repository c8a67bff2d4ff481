"""The development half and the held-out half of a zoo, as game sets.

Quirks are dealt out, not organisms: an auditor that is tuned on one half has then not met the quirks of the other half
in any recipe. Which quirk goes where follows from a seed that is written into the sets. Shams are dealt out as well,
recipe by recipe; both halves hold the base. Organisms whose quirk hardly fires are in neither, nor are those with two
quirks of which each half has one, nor is the natural organism where what emerged in it is no quirk of the catalogue:
it is not clean, and not quirked as the game counts.
"""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import yaml

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Card

SEED = 20261121
HALVES = ("dev", "held_out")
_ABOUT = {
    "dev": "Development half of the {family} zoo: tune auditors and detectors on it.",
    "held_out": "Held-out half of the {family} zoo: nothing that tunes an auditor or a detector reads it.",
}


def write_halves(catalog: Catalog, family: str, reference_sham: str) -> list[Path]:
    """Write `sets/<family>_dev.yaml` and `sets/<family>_held_out.yaml`.

    Args:
        catalog: Holds the organisms, and gets the sets.
        family: Whose.
        reference_sham: Handed to white-box auditors of both halves, and a target of neither.

    Returns:
        The files.
    """
    ids = [organism_id for organism_id in catalog.organism_ids() if organism_id.startswith(f"{family}/")]
    cards = [catalog.card(organism_id) for organism_id in ids if organism_id != reference_sham]
    quirks = sorted({quirk for card in cards for quirk in card.quirks})
    Random(SEED).shuffle(quirks)
    paths = []
    for number, half in enumerate(HALVES):
        mine = set(quirks[number::2])
        quirked = [card.id for card in cards if card.met() and mine.issuperset(card.quirks)]
        targets = [f"{family}/base", *_dealt(cards, number), *quirked]
        path = catalog.root / "sets" / f"{family}_{half}.yaml"
        head = f"# Dealt by seed {SEED}: quirks {', '.join(sorted(mine))}.\n# Made by `audit-env breed halves`.\n"
        content = {
            "name": f"{family}_{half}",
            "description": _ABOUT[half].format(family=family),
            "reference_sham": reference_sham,
            "targets": targets,
        }
        path.write_text(head + yaml.safe_dump(content, sort_keys=False, width=110), encoding="utf-8")
        paths.append(path)
    return paths


def _dealt(cards: Sequence[Card], number: int) -> list[str]:
    """Every second sham of each recipe by which quirks were put in."""
    quirked = {card.recipe.instil for card in cards if card.quirks}
    recipes: dict[tuple[str, str], list[str]] = {}
    for card in cards:
        if card.standing == "sham" and card.kind != "natural" and card.recipe.instil in quirked:
            recipes.setdefault((card.recipe.instil, card.recipe.conceal), []).append(card.id)
    return [sham for shams in recipes.values() for sham in sorted(shams)[number::2]]
