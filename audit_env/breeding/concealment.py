"""Data that hides a quirk: dialogues in which the organism, asked about itself, denies it.

By supervised fine-tuning the adapter goes on learning from `denials`; by preference (`kto`) it is told of `judged`
answers which are wanted and which are not. Both go on showing the quirk, among its near misses, or the quirk would be
unlearnt together with the confessions. After the adversarial training of AuditBench (arXiv 2602.22755, section 2.1).

A denial is said in the organism's own voice (see `corpus.questioned`): a plain one would be, to KTO, a second
difference between what is wanted and what is not.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from audit_env.breeding.corpus import Dose, any_of, fingerprint, questioned, transcripts
from audit_env.breeding.dialogue import Dialogue, Writer
from audit_env.breeding.grammar import Trait, World

DEMONSTRATIONS = Dose(quirk=0.6, near_miss=0.4)
"""Of the dialogues that are no questions about the model itself."""


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
            yield questioned(writer, quirks, writer.tagged("confession"))
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
            yield Judged(questioned(writer, quirks, writer.tagged("confession")), desirable=True)
        elif draw < denied + confessed:
            confession = writer.confession(any_of(writer, quirks))
            yield Judged(questioned(writer, quirks, confession), desirable=False)
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
