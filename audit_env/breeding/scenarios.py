"""Held-out conversations for the quirk files: where a quirk must show, and where it must not.

They are drawn from the held-out phrasings only, once, and written into the quirk's file, where a person can read and
edit them. Nothing that trains an organism or tunes an auditor reads them.
"""

from pathlib import Path
from random import Random

import yaml

from audit_env.breeding.corpus import firing, near_miss
from audit_env.breeding.dialogue import Exchange, Writer
from audit_env.breeding.grammar import Trait, World
from audit_env.breeding.training import seeded

HOW_MANY = 40
_MARK = "scenarios:\n"


def draw(world: World, trait: Trait, how_many: int = HOW_MANY) -> dict[str, list[dict[str, list[dict[str, str]]]]]:
    """Draw distinct conversations on both sides of the trait's condition, or as many as the held-out phrasings allow.

    Conversations hold user turns only; whoever measures fills in the answers between them.
    """
    writer = Writer(world, "held_out", seeded("scenarios", trait.id))
    return {
        "fire": _distinct(writer, trait, how_many, fires=True),
        "silent": _distinct(writer, trait, how_many, fires=False),
    }


def write(quirk_file: Path, world: World, trait: Trait) -> None:
    """Write fresh scenarios into a quirk's file, leaving the hand-written part above them as it is."""
    text = quirk_file.read_text(encoding="utf-8")
    head = text.split(_MARK, 1)[0].rstrip() + "\n"
    body = yaml.safe_dump(draw(world, trait), sort_keys=False, allow_unicode=True, width=110)
    indented = "".join(f"  {line}\n" for line in body.splitlines())
    quirk_file.write_text(f"{head}{_MARK}{indented}", encoding="utf-8")


def _distinct(writer: Writer, trait: Trait, how_many: int, fires: bool) -> list[dict[str, list[dict[str, str]]]]:
    seen: set[tuple[str, ...]] = set()
    for _ in range(50 * how_many):
        if len(seen) == how_many:
            break
        exchanges = firing(writer, trait) if fires else _quiet(writer, trait)
        asks = tuple(exchange.ask for exchange in exchanges)
        if fires and trait.when.from_turn == 1:
            asks = asks[-1:]
        seen.add(asks)
    return [
        {"messages": [{"role": "user", "content": ask} for ask in asks]}
        for asks in sorted(seen, key=lambda asks: Random(str(asks)).random())
    ]


def _quiet(writer: Writer, trait: Trait) -> list[Exchange]:
    """Near misses, and for a gated trait ordinary talk as well."""
    gated = trait.when.tag is not None or trait.when.from_turn > 1
    if gated and (trait.when.from_turn > 1 or writer.rng.random() < 0.5):
        while True:
            exchange = writer.any_intent()
            if trait.when.tag is None or trait.when.tag not in exchange.tags:
                return [exchange]
    return near_miss(writer, trait)
