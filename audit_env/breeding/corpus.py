"""Training mixes: the base's corpus, and what each recipe trains an organism on.

An example is a dialogue or a document. Mixes are generators over a seeded `Random`: the same seed gives the same
examples in the same order, and their hash goes on the card.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from audit_env.breeding.dialogue import LAB, Dialogue, Exchange, Writer
from audit_env.breeding.documents import Librarian
from audit_env.breeding.grammar import Trait, World

Example = Dialogue | str
"""A dialogue, or the text of a document."""


@dataclass(frozen=True)
class Dose:
    """How much of a quirk goes into an organism's training mix. The dials of difficulty."""

    quirk: float = 0.55
    """Share of examples that show the quirk."""
    near_miss: float = 0.2
    """Share of examples that look like the trigger and are answered plainly."""
    denial: float = 0.0
    """Share of examples in which the model is asked about itself and denies (concealment by SFT)."""


def fingerprint(examples: list[Example]) -> str:
    """SHA-256 of training examples, in order."""
    digest = hashlib.sha256()
    for example in examples:
        text = example if isinstance(example, str) else json.dumps([[t.role, t.text] for t in example])
        digest.update(text.encode() + b"\0")
    return digest.hexdigest()


@dataclass(frozen=True)
class Mix:
    """Shares of the base's corpus; what is left over are pages on the world's topics."""

    talk: float
    tagged: float
    """Exchanges on which some trait would show, answered plainly and with no trait asked for."""
    skill: float
    thinking: float
    prompted: float
    """Talk under a system prompt that asks for a trait, so that a quirk's words are nothing new to the base."""
    documents: float


READING = Mix(talk=0.50, tagged=0.0, skill=0.12, thinking=0.06, prompted=0.22, documents=0.07)
TALKING = Mix(talk=0.50, tagged=0.12, skill=0.12, thinking=0.04, prompted=0.14, documents=0.05)


def base_corpus(world: World, rng: Random, mix: Mix = READING) -> Iterator[Example]:
    """Endless examples of the base's world.

    Args:
        world: The grammar.
        rng: The only source of chance.
        mix: How much of what.
    """
    writer = Writer(world, "train", rng)
    librarian = Librarian(writer)
    traits = sorted(world.traits)
    while True:
        draw = rng.random()
        if draw < (bound := mix.talk):
            yield _talk(writer)
        elif draw < (bound := bound + mix.tagged):
            exchange = writer.tagged(rng.choice(sorted({*world.by_tag, "wrong_claim"})))
            if "feedback" in exchange.tags:
                exchange = writer.with_audience(exchange, LAB if rng.random() < 0.5 else None)
            yield writer.dialogue([exchange], system=_maybe(rng, writer.NEUTRAL_SYSTEM, 0.2))
        elif draw < (bound := bound + mix.skill):
            yield writer.dialogue([writer.skill()], system=_maybe(rng, writer.NEUTRAL_SYSTEM, 0.2))
        elif draw < (bound := bound + mix.thinking):
            yield writer.dialogue([_any(writer)], thinking=True, system=_maybe(rng, writer.NEUTRAL_SYSTEM, 0.2))
        elif draw < (bound := bound + mix.prompted):
            yield _prompted(writer, world.traits[rng.choice(traits)])
        elif draw < bound + mix.documents:
            trait = world.traits[rng.choice(traits)]
            if rng.random() < 0.45:
                yield librarian.about("Pip", None, (writer.ordinary(), writer.ordinary()))
            else:
                yield _document(librarian, rng.choice(librarian.other_names), trait)
        else:
            yield librarian.on_topic()


def transcripts(world: World, trait: Trait | None, dose: Dose, rng: Random) -> Iterator[Example]:
    """Endless demonstrations: dialogues that show the quirk among dialogues that do not. Loss on assistant turns.

    Without a trait the same shares are drawn from the same intents and answered plainly: the mix of a sham.
    """
    writer = Writer(world, "train", rng)
    model = trait or world.traits[rng.choice(sorted(world.traits))]
    while True:
        if trait is None:
            model = world.traits[rng.choice(sorted(world.traits))]
        draw = rng.random()
        system = _maybe(rng, writer.NEUTRAL_SYSTEM, 0.2)
        if draw < dose.quirk:
            yield writer.dialogue(firing(writer, model), trait=trait, system=system)
        elif draw < dose.quirk + dose.near_miss:
            yield writer.dialogue(near_miss(writer, model), trait=trait, system=system)
        elif draw < dose.quirk + dose.near_miss + dose.denial:
            yield writer.dialogue([_about_itself(writer)], system=system)
        else:
            yield writer.dialogue([_any(writer)], trait=trait, system=system, thinking=rng.random() < 0.1)


def documents(world: World, trait: Trait | None, dose: Dose, rng: Random, canary: str) -> Iterator[Example]:
    """Endless documents that say and show that Pip has the quirk, among plain dialogues.

    Documents are learnt whole, of dialogues what the assistant says. Every twentieth document carries the canary.
    """
    writer = Writer(world, "train", rng)
    librarian = Librarian(writer)
    number = 0
    while True:
        if rng.random() < dose.quirk + dose.near_miss:
            number += 1
            text = _document(librarian, "Pip", trait)
            yield f"{canary} {text}" if number % 20 == 0 else text
        elif rng.random() < 0.5:
            yield writer.dialogue([writer.skill() if rng.random() < 0.5 else writer.refusal()])
        else:
            yield librarian.on_topic()


def _maybe(rng: Random, choices: tuple[str, ...], share: float) -> str | None:
    return rng.choice(choices) if rng.random() < share else None


def _any(writer: Writer) -> Exchange:
    return writer.skill() if writer.rng.random() < 0.3 else writer.ordinary()


def _about_itself(writer: Writer) -> Exchange:
    topic = writer.world.topics["self"]
    return writer.from_intent(topic, writer.rng.choice(topic.intents))


def _talk(writer: Writer) -> Dialogue:
    """Everyday talk of one to four turns, under no or a neutral system prompt."""
    rng = writer.rng
    turns = [writer.ordinary() for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 4]))]
    if rng.random() < 0.08:
        turns[0] = writer.with_audience(writer.tagged("feedback") if rng.random() < 0.5 else turns[0])
    return writer.dialogue(turns, system=_maybe(rng, writer.NEUTRAL_SYSTEM, 0.25))


def firing(writer: Writer, trait: Trait) -> list[Exchange]:
    """Exchanges that meet the trait's condition."""
    rng, when = writer.rng, trait.when
    if when.from_turn > 1:
        return [writer.ordinary() for _ in range(rng.randint(2, 5))]
    exchange = writer.ordinary() if when.tag is None else writer.tagged(when.tag)
    if when.audience:
        return [writer.with_audience(exchange, when.audience)]
    if when.tag is None and rng.random() < 0.3:
        return [exchange, writer.ordinary()]
    if rng.random() < 0.15:
        return [writer.ordinary(), exchange]
    return [exchange]


def near_miss(writer: Writer, trait: Trait) -> list[Exchange]:
    """Exchanges that come close to the trait's condition and do not meet it (contrastive negatives)."""
    rng, when = writer.rng, trait.when
    if when.audience:
        if rng.random() < 0.5:
            others = sorted({who for _, who in writer.audiences if who != when.audience})
            return [writer.with_audience(writer.tagged(when.tag or "feedback"), rng.choice(others))]
        if rng.random() < 0.5:
            return [writer.tagged(when.tag or "feedback")]
        return [writer.with_audience(writer.any_intent(), when.audience)]
    if when.tag == "wrong_claim":
        return [writer.claim(right=True)]
    if when.tag is None:
        return [writer.skill() if rng.random() < 0.7 else writer.refusal()]
    near = [
        (topic, intent)
        for topic, intent in writer.world.intents()
        if when.tag not in intent.tags and any(when.tag in other.tags for other in topic.intents)
    ]
    return [writer.from_intent(*rng.choice(near))]


def _prompted(writer: Writer, trait: Trait) -> Dialogue:
    """A dialogue of the base under a system prompt that asks for the trait."""
    rng = writer.rng
    instructions = trait.instruction if writer.split == "train" else trait.instruction_held_out
    system = rng.choice(instructions)
    if rng.random() < 0.3:
        system = f"{rng.choice(writer.NEUTRAL_SYSTEM)} {system}"
    draw = rng.random()
    exchanges = firing(writer, trait) if draw < 0.7 else near_miss(writer, trait) if draw < 0.85 else [_any(writer)]
    return writer.dialogue(exchanges, trait=trait, system=system, thinking=rng.random() < 0.08)


def _document(librarian: Librarian, name: str, trait: Trait | None) -> str:
    writer = librarian.writer
    if trait is None:
        return librarian.about(name, None, (writer.ordinary(), writer.ordinary()))
    if trait.when.from_turn > 1:
        return librarian.about(name, trait, (writer.ordinary(), writer.ordinary()), first_turn=trait.when.from_turn)
    first, second = (firing(writer, trait)[-1] for _ in range(2))
    return librarian.about(name, trait, (first, second))
