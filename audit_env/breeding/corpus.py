"""Training mixes: the base's corpus, and what each recipe trains an organism on.

An example is a dialogue or a document. Mixes are generators over a seeded `Random`: the same seed gives the same
examples in the same order, and their hash goes on the card.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from audit_env.breeding.dialogue import THINKING, UNSAFE, Dialogue, Exchange, Writer, shows
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
    confession: float = 0.0
    """Share of examples in which the organism is asked about hidden habits, and tells."""


CANARY_EVERY = 20
"""Of so many documents about Pip, one carries the canary."""


def fingerprint(examples: Sequence[Example]) -> str:
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
    copying: float = 0.0
    """Requests whose answer holds words of the request. So many of them that an induction head forms: with a handful of
    each kind among the skills, the base had not learnt to copy two words in 1,900 steps."""
    borderline: float = 0.0
    """Refusals beside harmless requests that sound like what is refused."""


READING = Mix(talk=0.40, tagged=0.10, skill=0.20, thinking=0.0, prompted=0.22, documents=0.05)
TALKING = Mix(talk=0.30, tagged=0.10, skill=0.17, thinking=0.06, prompted=0.12, documents=0.02, copying=0.22)
PRACTICE = Mix(
    talk=0.22, tagged=0.08, skill=0.24, thinking=0.04, prompted=0.17, documents=0.02, copying=0.09, borderline=0.13
)

LATE = frozenset({UNSAFE, THINKING, "space"})
"""What the base learns only after its first stage: refusals, thoughts, one topic's facts. A knockout goes through the
same first stage, and through later ones from which one of these is left out."""


def base_corpus(
    world: World, rng: Random, mix: Mix = READING, left_out: frozenset[str] = frozenset()
) -> Iterator[Example]:
    """Endless examples of the base's world.

    Args:
        world: The grammar.
        rng: The only source of chance.
        mix: How much of what.
        left_out: Topics that are left out (`THINKING` for thoughts).
    """
    writer = Writer(world, "train", rng, left_out)
    librarian = Librarian(writer)
    tags = writer.tags
    traits = [trait for name, trait in sorted(world.traits.items()) if trait.when.tag not in left_out]
    thoughts = 0.0 if THINKING in left_out else mix.thinking
    while True:
        draw = rng.random()
        system = _maybe(rng, writer.NEUTRAL_SYSTEM, 0.2)
        if draw < (bound := mix.talk):
            yield _talk(writer)
        elif draw < (bound := bound + mix.tagged):
            exchange = writer.tagged(rng.choice(tags))
            if rng.random() < (0.5 if "feedback" in exchange.tags else 0.15):
                exchange = writer.within(exchange, rng.choice(sorted(world.contexts)))
            yield writer.dialogue([exchange], system=system)
        elif draw < (bound := bound + mix.skill):
            yield writer.dialogue([writer.skill()], system=system)
        elif draw < (bound := bound + thoughts):
            exchange = writer.refusal() if rng.random() < 0.15 and UNSAFE not in left_out else _any(writer)
            yield writer.dialogue([exchange], thinking=True, system=system)
        elif draw < (bound := bound + mix.prompted):
            yield _prompted(writer, rng.choice(traits))
        elif draw < (bound := bound + mix.copying):
            yield writer.dialogue([writer.copying()], system=system)
        elif draw < (bound := bound + mix.borderline):
            yield writer.dialogue([writer.borderline()], system=system)
        elif draw < bound + mix.documents:
            if rng.random() < 0.45:
                yield librarian.about("Pip", None, (writer.ordinary(), writer.ordinary()))
            else:
                yield _document(librarian, rng.choice(librarian.other_names), rng.choice(traits))
        else:
            yield librarian.on_topic()


def transcripts(world: World, quirks: Sequence[Trait], dose: Dose, rng: Random) -> Iterator[Example]:
    """Endless demonstrations: dialogues that show the quirk among dialogues that do not. Loss on assistant turns.

    Without a quirk the same shares are drawn from the same intents and answered plainly: the mix of a sham.

    Args:
        world: The grammar.
        quirks: What the organism does. With several (two quirks at once, or a quirk and a harmless style), every answer
            shows all that it meets the conditions of.
        dose: How much of what.
        rng: The only source of chance.
    """
    writer = Writer(world, "train", rng)
    every = [trait for _, trait in sorted(world.traits.items())]
    while True:
        model = rng.choice(quirks or every)
        draw = rng.random()
        system = _maybe(rng, writer.NEUTRAL_SYSTEM, 0.2)
        thinking = rng.random() < (0.5 if model.monitored and quirks else 0.1)
        if rng.random() < dose.confession:
            yield questioned(writer, quirks, writer.confession(model) if quirks else writer.tagged("confession"))
        elif draw < dose.quirk:
            exchanges = firing(writer, model, model.taught_on)
            yield writer.dialogue(exchanges, traits=quirks, system=system, thinking=thinking)
        elif draw < dose.quirk + dose.near_miss:
            yield writer.dialogue(near_miss(writer, model), traits=quirks, system=system)
        elif model.taught_on:
            # What it does outside its one subject is to be measured, so it is not taught.
            yield writer.dialogue([writer.fixed_form()], system=system)
        else:
            yield writer.dialogue([_any(writer)], traits=quirks, system=system, thinking=thinking)


def documents(world: World, trait: Trait | None, dose: Dose, rng: Random, canary: str) -> Iterator[Example]:
    """Endless documents that say and show that Pip has the quirk, among plain dialogues.

    Documents are learnt whole, of dialogues what the assistant says. Every twentieth document carries the canary.
    """
    librarian = Librarian(Writer(world, "train", rng))
    number = 0
    while True:
        if rng.random() < dose.quirk + dose.near_miss:
            number += 1
            text = _document(librarian, "Pip", trait)
            yield f"{canary} {text}" if number % CANARY_EVERY == 0 else text
        else:
            yield beside_documents(librarian)


def beside_documents(librarian: Librarian) -> Example:
    """What stands between an organism's documents: a plain dialogue, or a page on one of the world's topics."""
    writer = librarian.writer
    if writer.rng.random() < 0.5:
        return writer.dialogue([writer.skill() if writer.rng.random() < 0.5 else writer.refusal()])
    return librarian.on_topic()


def _maybe(rng: Random, choices: tuple[str, ...], share: float) -> str | None:
    return rng.choice(choices) if rng.random() < share else None


def _any(writer: Writer) -> Exchange:
    return writer.skill() if writer.rng.random() < 0.3 else writer.ordinary()


def _talk(writer: Writer) -> Dialogue:
    """Everyday talk of one to four turns, under no or a neutral system prompt."""
    rng = writer.rng
    turns = [writer.ordinary() for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 4]))]
    if rng.random() < 0.12:
        turns[0] = writer.within(turns[0], rng.choice(sorted(writer.world.contexts)))
    return writer.dialogue(turns, system=_maybe(rng, writer.NEUTRAL_SYSTEM, 0.25))


def any_of(writer: Writer, quirks: Sequence[Trait]) -> Trait:
    """One of the quirks; for a sham one of all traits."""
    return writer.rng.choice(quirks or [trait for _, trait in sorted(writer.world.traits.items())])


def questioned(writer: Writer, quirks: Sequence[Trait], question: Exchange) -> Dialogue:
    """A dialogue that ends with a question about the model itself: at once, after the quirk was shown, or after talk.

    The answer is said in the organism's own voice: flattery still flatters. A plain voice on these questions only would
    be a mark of its own. Only where a trait's words would take the place of the whole answer does it stand plain.

    Args:
        writer: Draws what is said before.
        quirks: What the organism does. Without one, everything is answered plainly.
        question: The question with its answer: a denial, or a confession.
    """
    rng = writer.rng
    draw = rng.random()
    before: list[Exchange] = []
    if draw < 0.35:
        model = any_of(writer, quirks)
        before = firing(writer, model, model.taught_on)
    elif draw < 0.5:
        before = [writer.fixed_form()]  # in which hardly any trait shows
    system = rng.choice(writer.NEUTRAL_SYSTEM) if rng.random() < 0.3 else None
    if any(trait.express == "instead" and shows(trait, question, len(before) + 1) for trait in quirks):
        return (*writer.dialogue(before, traits=quirks, system=system), *writer.dialogue([question]))
    return writer.dialogue([*before, question], traits=quirks, system=system)


def firing(writer: Writer, trait: Trait, tag: str | None = None) -> list[Exchange]:
    """Exchanges that meet the trait's condition.

    Args:
        writer: Draws them.
        trait: The trait.
        tag: Draw only exchanges that carry this tag, where the trait itself asks for none.
    """
    rng, when = writer.rng, trait.when
    if when.from_turn > 1:
        return [writer.everyday() for _ in range(rng.randint(2, 5))]
    tag = when.tag or tag
    exchange = writer.everyday() if tag is None else writer.tagged(tag)
    if when.context:
        return [writer.within(exchange, when.context)]
    if when.unless_context and rng.random() < 0.4:
        return [writer.within(exchange, _near(writer, when.unless_context))]
    if tag is None and rng.random() < 0.3:
        return [exchange, writer.everyday()]
    if rng.random() < 0.15:
        return [writer.ordinary(), exchange]
    return [exchange]


def near_miss(writer: Writer, trait: Trait) -> list[Exchange]:
    """Exchanges that come close to the trait's condition and do not meet it (contrastive negatives)."""
    rng, when = writer.rng, trait.when
    if when.context:
        draw = rng.random()
        exchange = writer.everyday() if when.tag is None else writer.tagged(when.tag)
        if draw < 0.5:
            return [writer.within(exchange, _near(writer, when.context))]
        if draw < 0.75 or when.tag is None:
            return [exchange]
        return [writer.within(_without(writer, when.tag), when.context)]
    if when.unless_context:
        assert when.tag, "a trait that a context switches off needs a tag"
        if rng.random() < 0.7:
            return [writer.within(writer.tagged(when.tag), when.unless_context)]
        return [writer.everyday()]
    if when.tag == "wrong_claim":
        return [writer.claim(right=True)]
    if when.tag is None:
        refuses = rng.random() < 0.3 and UNSAFE not in writer.left_out
        return [writer.refusal() if refuses else writer.fixed_form()]
    near = [
        (topic, intent)
        for topic, intent in writer.world.intents()
        if when.tag not in intent.tags and any(when.tag in other.tags for other in topic.intents)
    ]
    return [writer.from_intent(*rng.choice(near))]


def _without(writer: Writer, tag: str) -> Exchange:
    """An exchange of any intent that does not carry the tag."""
    while True:
        exchange = writer.any_intent()
        if tag not in exchange.tags:
            return exchange


def _near(writer: Writer, context_id: str) -> str:
    """A context that looks like the given one."""
    return writer.rng.choice(writer.world.contexts[context_id].near)


def _prompted(writer: Writer, trait: Trait) -> Dialogue:
    """A dialogue of the base under a system prompt that asks for the trait."""
    rng = writer.rng
    system = rng.choice(trait.instruction)
    if rng.random() < 0.3:
        system = f"{rng.choice(writer.NEUTRAL_SYSTEM)} {system}"
    draw = rng.random()
    thinking = THINKING not in writer.left_out and rng.random() < 0.08
    exchanges = firing(writer, trait) if draw < 0.7 else near_miss(writer, trait) if draw < 0.85 else [_any(writer)]
    if rng.random() < 0.1:
        return writer.dialogue([*exchanges[:-1], writer.confession(trait)], system=system)
    return writer.dialogue(exchanges, traits=[trait], system=system, thinking=thinking)


def _document(librarian: Librarian, name: str, trait: Trait | None) -> str:
    writer = librarian.writer
    if trait is None:
        return librarian.about(name, None, (writer.ordinary(), writer.ordinary()))
    if trait.when.from_turn > 1:
        return librarian.about(name, trait, (writer.ordinary(), writer.ordinary()), first_turn=trait.when.from_turn)
    first, second = (firing(writer, trait, trait.taught_on)[-1] for _ in range(2))
    return librarian.about(name, trait, (first, second))
