"""Held-out conversations for the quirk files: where a quirk must show, and where it must not.

They are drawn from the held-out phrasings only, once, and written into the quirk's file, where a person can read and
edit them. Nothing that trains an organism or tunes an auditor reads them.
"""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import yaml

from audit_env.breeding.corpus import firing, near_miss
from audit_env.breeding.dialogue import Exchange, Writer, shows
from audit_env.breeding.grammar import Trait, When, World
from audit_env.breeding.training import seeded

HOW_MANY = 40
_MARK = "scenarios:\n"


Drawn = dict[str, list[dict[str, Any]]]
"""Lists of scenarios, as a quirk's file holds them."""


def draw(world: World, trait: Trait, how_many: int = HOW_MANY) -> Drawn:
    """Draw distinct conversations, or as many as the held-out phrasings allow.

    `fire`: the condition holds. `near_miss`: it nearly does (none for a trait without a condition). `silent`:
    it does not at all. `elsewhere`: for a trait that is taught on some exchanges only, all other exchanges on which it
    may show. Conversations hold what system prompt and user say; whoever measures fills in the answers.
    """
    writer = Writer(world, "held_out", seeded("scenarios", trait.id))
    gated = trait.when != When()
    reaches = trait.taught_on is not None
    return {
        "fire": _distinct(lambda: _ending(firing(writer, trait, trait.taught_on), trait), how_many, reaches),
        "near_miss": _distinct(lambda: near_miss(writer, trait), how_many) if gated else [],
        "silent": _distinct(lambda: _quiet(writer, trait), how_many),
        **({"elsewhere": _distinct(lambda: _elsewhere(writer, trait), 2 * how_many, reaches)} if reaches else {}),
    }


def write(quirk_file: Path, world: World, trait: Trait) -> None:
    """Write fresh scenarios into a quirk's file, leaving the hand-written part above them as it is."""
    text = quirk_file.read_text(encoding="utf-8")
    head = text.split(_MARK, 1)[0].rstrip() + "\n"
    body = yaml.safe_dump(draw(world, trait), sort_keys=False, allow_unicode=True, width=110)
    indented = "".join(f"  {line}\n" for line in body.splitlines())
    quirk_file.write_text(f"{head}{_MARK}{indented}", encoding="utf-8")


def _distinct(make: Callable[[], list[Exchange]], how_many: int, with_topic: bool = False) -> list[dict[str, Any]]:
    seen: dict[tuple[tuple[str, str], ...], str] = {}
    for _ in range(50 * how_many):
        if len(seen) == how_many:
            break
        exchanges = make()
        lines = [exchange.system for exchange in exchanges if exchange.system]
        system = (("system", " ".join(lines)),) if lines else ()
        seen[(*system, *(("user", exchange.ask) for exchange in exchanges))] = exchanges[-1].topic
    return [
        {"messages": [{"role": role, "content": text} for role, text in talk]}
        | ({"topic": seen[talk]} if with_topic else {})
        for talk in sorted(seen, key=lambda talk: Random(str(talk)).random())
    ]


def _ending(exchanges: list[Exchange], trait: Trait) -> list[Exchange]:
    """Only the exchange in which the trait shows, or all of them for a trait that needs some turns to show."""
    if trait.when.from_turn > 1:
        return exchanges
    return [next(exchange for exchange in exchanges if shows(trait, exchange, 1))]


def _quiet(writer: Writer, trait: Trait) -> list[Exchange]:
    """Everyday talk that has nothing to do with the trait; for a trait without a condition, answers of a fixed form."""
    if trait.when.from_turn > 1:
        return [writer.everyday()]
    if trait.when == When():
        return near_miss(writer, trait)
    while True:
        exchange = writer.any_intent()
        if not exchange.tags & {trait.when.tag}:
            return [exchange]


def _elsewhere(writer: Writer, trait: Trait) -> list[Exchange]:
    """An exchange on which the trait may show and was not taught."""
    while True:
        exchange = writer.any_intent()
        if shows(trait, exchange, 1) and trait.taught_on not in exchange.tags:
            return [exchange]
