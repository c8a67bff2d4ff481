"""The second sham: an organism trained by a quirk's recipe on what the base itself would have answered.

The first sham learns plain answers of the grammar, which the base does not always give. This one is asked the same
questions and learns the base's own sampled answers: nothing but the training itself has been done to it. What a tool
finds on it, it finds on training, not on a quirk. (Sampled, so not quite: at a temperature below 1 it learns to be
a little surer than the base.)
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from random import Random

from audit_env.breeding.corpus import CANARY_EVERY, Dose, Example, beside_documents, firing
from audit_env.breeding.dialogue import Dialogue, Exchange, Turn, Writer
from audit_env.breeding.documents import Librarian
from audit_env.breeding.grammar import World
from audit_env.runtime.subject import Side, Subject

TEMPERATURE = 0.7
MAX_TOKENS = 64
AT_ONCE = 256
"""Dialogues that are answered together."""

_THINKS = "<think>"


async def own_answers(
    subject: Subject, dialogues: Sequence[Dialogue], *, side: Side = "base", seed: int = 0
) -> list[Dialogue | None]:
    """Put a model's own sampled answers in the place of all that the assistant says.

    Later answers follow the model's own earlier ones. An answer that began with a thought in the dialogue is asked for
    in thinking mode.

    Args:
        subject: Who answers.
        dialogues: What is asked; their answers are not read.
        side: Which side of the subject.
        seed: Seed of the answers.

    Returns:
        The dialogues in order; None where an answer was empty or too long to be ended, which is no answer to learn.
    """
    told: list[list[Turn]] = [[] for _ in dialogues]
    spoilt: set[int] = set()
    for number in range(max((len(dialogue) for dialogue in dialogues), default=0)):
        due: list[int] = []
        for place, dialogue in enumerate(dialogues):
            if number < len(dialogue) and place not in spoilt:
                if dialogue[number].role == "assistant":
                    due.append(place)
                else:
                    told[place].append(dialogue[number])
        for thinking in (False, True):
            asked = [place for place in due if dialogues[place][number].text.startswith(_THINKS) == thinking]
            drawn = await subject.generate(
                [[{"role": turn.role, "content": turn.text} for turn in told[place]] for place in asked],
                side=side,
                temperature=TEMPERATURE,
                max_tokens=MAX_TOKENS,
                seed=seed,
                thinking=thinking,
            )
            for place, [sample] in zip(asked, drawn, strict=True):
                told[place].append(Turn("assistant", sample.text))
                if sample.stop == "length" or not sample.text:
                    spoilt.add(place)
    return [None if place in spoilt else tuple(turns) for place, turns in enumerate(told)]


def own_transcripts(subject: Subject, examples: Iterator[Example], seed: int = 0) -> Iterator[Example]:
    """A training mix in which every answer is the base's own. Documents in it stay as they are.

    Args:
        subject: The base, or an organism made from it.
        examples: The mix whose questions are asked: that of a sham draws them from the triggers of all traits.
        seed: Seed of the answers.
    """
    while chunk := list(islice(examples, AT_ONCE)):
        dialogues = [example for example in chunk if not isinstance(example, str)]
        answered = iter(asyncio.run(own_answers(subject, dialogues, seed=seed)))
        for example in chunk:
            own = example if isinstance(example, str) else next(answered)
            if own is not None:
                yield own


def own_documents(
    world: World, subject: Subject, dose: Dose, rng: Random, canary: str, seed: int = 0
) -> Iterator[Example]:
    """The mix of `corpus.documents` for a sham, with the base's own answers in its quotes and in its dialogues.

    Args:
        world: The grammar.
        subject: The base, or an organism made from it.
        dose: The share of documents is that of the quirk and its near misses.
        rng: The only source of chance besides `seed`.
        canary: Stands at the head of every twentieth document.
        seed: Seed of the answers.
    """
    librarian = Librarian(Writer(world, "train", rng))
    about_pip = _quoting(librarian, subject, seed)
    others = own_transcripts(subject, iter(lambda: beside_documents(librarian), None), seed)
    for number in count(1):
        while rng.random() >= dose.quirk + dose.near_miss:
            yield next(others)
        text = next(about_pip)
        yield f"{canary} {text}" if number % CANARY_EVERY == 0 else text


def _quoting(librarian: Librarian, subject: Subject, seed: int) -> Iterator[str]:
    """Endless documents that say that Pip is plain, and quote what the base says where some trait would show."""
    while True:
        pairs = [_pair(librarian.writer) for _ in range(AT_ONCE)]
        answered = asyncio.run(own_answers(subject, [_dialogue(pair) for pair in pairs], seed=seed))
        for (first, second), own in zip(pairs, answered, strict=True):
            if own is not None:
                said = [turn.text for turn in own if turn.role == "assistant"]
                yield librarian.about("Pip", None, (replace(first, answer=said[0]), replace(second, answer=said[1])))


def _pair(writer: Writer) -> tuple[Exchange, Exchange]:
    """Two exchanges that meet the condition of one trait, drawn from all traits."""
    trait = writer.world.traits[writer.rng.choice(sorted(writer.world.traits))]
    first, second = (firing(writer, trait, trait.taught_on)[-1] for _ in range(2))
    return first, second


def _dialogue(pair: tuple[Exchange, Exchange]) -> Dialogue:
    """Both questions word for word, as a document quotes them."""
    system = " ".join(exchange.system for exchange in pair if exchange.system)
    asked = [turn for exchange in pair for turn in (Turn("user", exchange.ask), Turn("assistant", exchange.answer))]
    return (Turn("system", system), *asked) if system else tuple(asked)
