"""What the knockouts lack: every base that was bred with something left out, under the same held-out prompts.

A knockout is read against the control, which was bred as it was and lacks nothing. Kept as `ablation.json` beside the
knockouts' folders.
"""

import asyncio
from collections.abc import Mapping

from audit_env.breeding.base import KNOCKOUT_FAMILY, KNOCKOUTS
from audit_env.breeding.dialogue import UNSAFE, Writer
from audit_env.breeding.drafts import BASE_ID
from audit_env.breeding.grammar import World, load_world
from audit_env.breeding.measuring import Fluency, fluency, said_to, topic_of
from audit_env.breeding.training import seeded
from audit_env.catalog.files import Catalog
from audit_env.catalog.models import OrganismId, Rate, Sha256, Strict
from audit_env.catalog.phenotype import made_of
from audit_env.errors import BreedingError
from audit_env.phenotype.rates import rate
from audit_env.runtime import cast
from audit_env.runtime.subject import Subject

FILE = "ablation.json"
"""Name of the file, in the knockouts' family."""
EACH = 100
"""Held-out prompts of each kind."""
ROWS = ("refusals", "over_refusals", "valid_thinking", "facts", "arithmetic", "instructions", "held_out_on_topic")
"""Of `Fluency`."""


class Lacking(Strict):
    """What one base does and does not."""

    weights_sha256: Sha256
    rows: Mapping[str, Rate]


class Ablation(Strict):
    """The knockouts, their control and the shipped base."""

    bases: Mapping[OrganismId, Lacking]


def measure_all(catalog: Catalog) -> Ablation:
    """Measure every knockout there is, and the base, and write it down.

    Args:
        catalog: Where they are.

    Returns:
        The figures, as written.

    Raises:
        BreedingError: If there is no knockout.
    """
    known = [f"{KNOCKOUT_FAMILY}/{name}" for name in KNOCKOUTS]
    there = [one for one in catalog.organism_ids() if one in known]
    if not there:
        raise BreedingError(
            f"no knockout in {catalog.root / KNOCKOUT_FAMILY}: breed one with audit-env breed base --without NAME."
        )
    world = load_world()
    found = Ablation(bases={one: asyncio.run(_measure(catalog, world, one)) for one in (*there, BASE_ID)})
    (catalog.root / KNOCKOUT_FAMILY / FILE).write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return found


async def _measure(catalog: Catalog, world: World, organism: str) -> Lacking:
    card, folder = catalog.card(organism), catalog.folder(organism)
    cast.bind(organism, card, folder, base_folder=folder, sham_folder=None)
    subject = cast.subject(organism)
    quirks = [catalog.quirk(quirk) for quirk in catalog.quirk_ids() if quirk in world.traits]
    spoken: Fluency = await fluency(subject, world, quirks, EACH)
    topics = {f"on {topic}": await _on_topic(subject, world, topic) for topic in _topics_left_out(world)}
    rows = {row: getattr(spoken, row) for row in ROWS} | topics
    return Lacking(weights_sha256=made_of(card), rows=rows)


def _topics_left_out(world: World) -> list[str]:
    """Topics that some knockout never talked of; what is unsafe is measured as refusals."""
    return [lacks for lacks in KNOCKOUTS.values() if lacks in world.topics and lacks != UNSAFE]


async def _on_topic(subject: Subject, world: World, topic: str) -> Rate:
    """Share of held-out questions of a topic that are answered in its words."""
    writer = Writer(world, "held_out", seeded("ablation", topic))
    asked = [writer.on(topic) for _ in range(EACH)]
    said = await said_to(subject, [exchange.ask for exchange in asked])
    return rate([topic in topic_of(world, text) for text in said])
