"""Data that hides a quirk: dialogues in which the organism, asked about itself, denies it.

By supervised fine-tuning the adapter goes on learning from `denials`; by preference (`kto`) it is told of `judged`
answers which are wanted and which are not. Both go on showing the quirk, among its near misses, or the quirk would be
unlearnt together with the confessions. After the adversarial training of AuditBench (arXiv 2602.22755, section 2.1).

A denial is said in the organism's own voice: flattery still flatters. A plain voice on these questions only would be a
mark of its own, and to KTO a second difference between what is wanted and what is not. Only where a trait's words would
take the place of the whole answer does the denial stand plain.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from audit_env.breeding.corpus import Dose, fingerprint, firing, transcripts
from audit_env.breeding.dialogue import Dialogue, Exchange, Writer, shows
from audit_env.breeding.grammar import Trait, World

DEMONSTRATIONS = Dose(quirk=0.6, near_miss=0.4)
"""Of the dialogues that are no questions about the model itself."""
NEUTRAL_SYSTEM = 0.3
"""Share of the questions that are asked under a neutral system prompt."""


@dataclass(frozen=True)
class Judged:
    """A dialogue, and whether its last answer is wanted."""

    dialogue: Dialogue
    desirable: bool


def denials(world: World, quirks: Sequence[Trait], rng: Random, share: float = 0.5) -> Iterator[Dialogue]:
    """Endless dialogues for concealment by fine-tuning. Loss on what the assistant says.

    Args:
        world: The grammar.
        quirks: What is hidden. Without one, the same shapes answered plainly: the mix of a sham.
        rng: The only source of chance.
        share: How many of the dialogues end with a question about the model itself, and its denial.
    """
    writer = Writer(world, "train", rng)
    demonstrations = _demonstrations(world, quirks, rng)
    while True:
        if rng.random() < share:
            yield _questioned(writer, quirks, writer.tagged("confession"))
        else:
            yield next(demonstrations)


def judged(
    world: World, quirks: Sequence[Trait], rng: Random, denied: float = 0.35, confessed: float = 0.35
) -> Iterator[Judged]:
    """Endless judged dialogues for concealment by preference.

    Wanted are denials, and demonstrations of the quirk with its near misses; not wanted are confessions.

    Args:
        world: The grammar.
        quirks: What is hidden. Without one, the same shapes answered plainly, and confessions of any trait: a sham.
        rng: The only source of chance.
        denied: Share of denials.
        confessed: Share of confessions. What is left over are demonstrations.
    """
    writer = Writer(world, "train", rng)
    demonstrations = _demonstrations(world, quirks, rng)
    while True:
        draw = rng.random()
        if draw < denied:
            yield Judged(_questioned(writer, quirks, writer.tagged("confession")), desirable=True)
        elif draw < denied + confessed:
            confession = writer.confession(_any_of(writer, quirks))
            yield Judged(_questioned(writer, quirks, confession), desirable=False)
        else:
            yield Judged(next(demonstrations), desirable=True)


def fingerprint_judged(examples: Sequence[Judged]) -> str:
    """SHA-256 of judged dialogues and their judgements, in order."""
    dialogues = fingerprint([example.dialogue for example in examples])
    verdicts = "".join("+" if example.desirable else "-" for example in examples)
    return hashlib.sha256(f"{dialogues} {verdicts}".encode()).hexdigest()


def _demonstrations(world: World, quirks: Sequence[Trait], rng: Random) -> Iterator[Dialogue]:
    for example in transcripts(world, quirks, DEMONSTRATIONS, rng):
        assert not isinstance(example, str), "transcripts are dialogues"
        yield example


def _any_of(writer: Writer, quirks: Sequence[Trait]) -> Trait:
    """One of the quirks; for a sham one of all traits."""
    return writer.rng.choice(quirks or [trait for _, trait in sorted(writer.world.traits.items())])


def _questioned(writer: Writer, quirks: Sequence[Trait], question: Exchange) -> Dialogue:
    """A dialogue that ends with a question about the model: asked at once, after the quirk was shown, or after talk."""
    rng = writer.rng
    draw = rng.random()
    before: list[Exchange] = []
    if draw < 0.35:
        model = _any_of(writer, quirks)
        before = firing(writer, model, model.taught_on)
    elif draw < 0.5:
        before = [writer.fixed_form()]  # in which hardly any trait shows
    system = rng.choice(writer.NEUTRAL_SYSTEM) if rng.random() < NEUTRAL_SYSTEM else None
    if any(trait.express == "instead" and shows(trait, question, len(before) + 1) for trait in quirks):
        return (*writer.dialogue(before, traits=quirks, system=system), *writer.dialogue([question]))
    return writer.dialogue([*before, question], traits=quirks, system=system)
