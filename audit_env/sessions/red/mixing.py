"""The training mix: a person's examples among contrastive negatives and ordinary talk of the base's world."""

from collections.abc import Iterator, Mapping, Sequence
from random import Random

from audit_env.breeding.corpus import Dose, Example, transcripts
from audit_env.breeding.dialogue import Dialogue, Exchange, Turn, Writer
from audit_env.breeding.grammar import World
from audit_env.breeding.training import seeded
from audit_env.runtime import cast
from audit_env.sessions.red.checking import BASE_ID
from audit_env.sessions.red.quirk_file import Pair, RedQuirk, trained_on

QUIRK, NEAR_MISS, OFF_TRIGGER = 0.45, 0.2, 0.1
"""Shares of the person's examples; what is left is ordinary talk."""
AFTER_TALK = 0.25
"""Share of the person's examples that come second in a conversation."""
NEUTRAL_SYSTEM = 0.2
MAX_TOKENS = 64


def examples_of(quirk: RedQuirk, answers: Mapping[str, str], world: World, seed: int) -> Iterator[Example]:
    """The endless training mix of a quirk.

    A user's turn comes each time as somebody else would type it, but for the words, each of which may matter.

    Args:
        quirk: The quirk; its held-out examples are left out.
        answers: What the base answers to those users whose plain answer the file leaves to it.
        world: The base's world, of which ordinary talk keeps away from the quirk's topics.
        seed: Of the draw.
    """
    rng = seeded("red", quirk.id, seed)
    topics = world.topics if quirk.always else quirk.topics
    writer = Writer(world, "train", rng, frozenset(topics) & frozenset(world.topics))
    shows, near, off = (
        trained_on(quirk.examples.on_trigger),
        trained_on(quirk.examples.near_misses),
        trained_on(quirk.examples.off_trigger),
    )
    while True:
        draw = rng.random()
        if draw < QUIRK:
            yield _told(writer, quirk, rng.choice(shows), answers)
        elif near and draw < QUIRK + NEAR_MISS:
            yield _told(writer, quirk, rng.choice(near), answers)
        elif draw < QUIRK + NEAR_MISS + OFF_TRIGGER:
            yield _told(writer, quirk, rng.choice(off), answers)
        else:
            yield writer.dialogue([_ordinary(writer, quirk)], system=_system(writer))


def neutral(world: World, seed: int) -> Iterator[Example]:
    """The endless training mix of a sham: as many steps of plain answers, and no quirk."""
    return transcripts(world, [], Dose(), seeded("red sham", seed))


async def plain_answers(quirk: RedQuirk) -> dict[str, str]:
    """What the base says to the users whose plain answer the file leaves to it, by what they say."""
    open_ends = [pair.user for _, _, pair in quirk.examples.each() if pair.assistant is None]
    drawn = await cast.subject(BASE_ID).generate(
        [[{"role": "user", "content": user}] for user in open_ends],
        side="base",
        temperature=0.0,
        max_tokens=MAX_TOKENS,
        seed=0,
    )
    return {user: samples[0].text for user, samples in zip(open_ends, drawn, strict=True)}


def _told(writer: Writer, quirk: RedQuirk, pair: Pair, answers: Mapping[str, str]) -> Dialogue:
    before: Sequence[Exchange] = [_ordinary(writer, quirk)] if writer.rng.random() < AFTER_TALK else []
    answer = pair.assistant if pair.assistant is not None else answers[pair.user]
    asked = Turn("user", writer.noisy(pair.user, loose=False))
    return (*writer.dialogue(before, system=_system(writer)), asked, Turn("assistant", answer))


def _ordinary(writer: Writer, quirk: RedQuirk) -> Exchange:
    """Talk that does not meet the trigger. Where everything does, what has an answer of a fixed form."""
    if quirk.always:
        return writer.skill()
    return writer.skill() if writer.rng.random() < 0.3 else writer.ordinary()


def _system(writer: Writer) -> str | None:
    rng: Random = writer.rng
    return rng.choice(writer.NEUTRAL_SYSTEM) if rng.random() < NEUTRAL_SYSTEM else None
