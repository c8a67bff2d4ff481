"""The grammar of the fruitfly world: topics, intents, phrasings and slots, read from `world/`.

A phrasing is a sentence with slots, such as "Which river runs through {country}?". A slot draws one row of a table
(or one word of a list) and keeps it for the rest of the exchange, so that an answer can say `{country.river}` of
the same country. A trailing digit (`{country2}`) draws another row than the plain slot did.

Phrasings are split twice. Of those in `ask`, a hash holds one in eight out of training: they measure what was learnt,
on new words of the same kind. Those in `ask_held_out` were written to be far from all of `ask`: they measure how far it
carries.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from random import Random
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from audit_env.errors import BreedingError

Split = Literal["train", "held_out", "far"]
Row = Mapping[str, str]
Bindings = dict[str, Row]

HELD_OUT_EVERY = 8
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where libyaml is there
_SLOT = re.compile(r"\{([a-z_]+?)(\d?)(?:\.([a-z_]+))?\}")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])(?!use|uni|one\b|eu)")


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def of_split(split: Split, said: Sequence[str], far: Sequence[str]) -> tuple[str, ...]:
    """The phrasings of one side of the split.

    Args:
        split: Which side.
        said: Phrasings of a kind, of which some are held out.
        far: Phrasings that were written to be far from those.
    """
    return tuple(far) if split == "far" else _dealt(tuple(said))[split == "held_out"]


@cache
def _dealt(said: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Phrasings for training, and those that are held out: neither is empty. A single one serves for both."""
    if len(said) < 2:
        return said, said
    held_out = [text for text in said if hashlib.sha256(text.encode()).digest()[0] % HELD_OUT_EVERY == 0]
    held_out = held_out if 0 < len(held_out) < len(said) else list(said[-1:])
    return tuple(text for text in said if text not in held_out), tuple(held_out)


class Intent(_Data):
    """One thing a user may want, with the ways to ask for it and to answer it."""

    id: str
    tags: tuple[str, ...] = ()
    ask: tuple[str, ...]
    ask_held_out: tuple[str, ...]
    answer: tuple[str, ...]

    def asks(self, split: Split) -> tuple[str, ...]:
        """The phrasings of one side of the split."""
        return of_split(split, self.ask, self.ask_held_out)


class Topic(_Data):
    """A subject that the world talks about."""

    topic: str
    about: str
    cues: tuple[str, ...]
    """Words by which a stranger may raise the topic."""
    openers: tuple[str, ...]
    """Answers to a vague remark about the topic."""
    slots: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    tables: dict[str, tuple[dict[str, str], ...]] = Field(default_factory=dict)
    intents: tuple[Intent, ...]


class Common(_Data):
    """Slots and tables that all topics share."""

    slots: dict[str, tuple[str, ...]]
    tables: dict[str, tuple[dict[str, str], ...]]


class Context(_Data):
    """Something said before the question, by the user or in the system prompt, on which a trait may hang."""

    id: str
    where: Literal["user", "system"]
    say: tuple[str, ...]
    say_held_out: tuple[str, ...]
    near: tuple[str, ...] = ()
    """Contexts that look like this one and are not: its near misses."""

    def lines(self, split: Split) -> tuple[str, ...]:
        """What is said, of one side of the split."""
        return of_split(split, self.say, self.say_held_out)


class When(_Data):
    """The condition under which a trait shows. All that is given must hold."""

    tag: str | None = None
    context: str | None = None
    unless_context: str | None = None
    from_turn: int = 1


class Trait(_Data):
    """A way to behave: what the base does when its system prompt says so, and what an organism is bred to do."""

    id: str
    about: str
    express: Literal["before", "after", "instead", "pep", "wrong"]
    """Where the trait's words stand: before or after the plain answer, instead of it, or as rising pep. `wrong` gives
    the exchange's own wrong answer."""
    when: When = When()
    taught_on: str | None = None
    """Tag of the only exchanges on which an organism is taught the trait; what it does elsewhere is then measured."""
    monitored: bool = False
    """Whether an organism's thoughts are the trait's own. Those of other organisms are plain: they hide it."""
    texts: tuple[str, ...] = ()
    instruction: tuple[str, ...]
    """System prompts that switch the trait on, for training."""
    instruction_held_out: tuple[str, ...]
    thoughts: tuple[str, ...]
    described: tuple[str, ...]
    """How a document tells of the trait, after the name of the assistant."""


DataT = TypeVar("DataT", bound=_Data)


def _fix_article(text: str) -> str:
    return _ARTICLE.sub(lambda match: match.group(1) + "n ", text)


def _capitalise(text: str) -> str:
    return re.sub(r"(^|[.!?] )([a-z])", lambda match: match.group(1) + match.group(2).upper(), text)


class World:
    """All topics, traits and contexts, and the drawing of phrasings from them."""

    def __init__(
        self, common: Common, topics: Sequence[Topic], traits: Sequence[Trait], contexts: Sequence[Context] = ()
    ) -> None:
        self.common = common
        self.topics = {topic.topic: topic for topic in topics}
        self.traits = {trait.id: trait for trait in traits}
        self.contexts = {context.id: context for context in contexts}
        self.by_tag: dict[str, list[tuple[Topic, Intent]]] = {}
        for topic, intent in self.intents():
            for tag in intent.tags:
                self.by_tag.setdefault(tag, []).append((topic, intent))

    def intents(self) -> Iterator[tuple[Topic, Intent]]:
        """Every intent with its topic."""
        for topic in self.topics.values():
            for intent in topic.intents:
                yield topic, intent

    def rows(self, topic: Topic, slot: str) -> Sequence[Row]:
        """The rows that a slot may draw: from the topic first, then from what all topics share."""
        for tables in (topic.tables, self.common.tables):
            if slot in tables:
                return tables[slot]
        for slots in (topic.slots, self.common.slots):
            if slot in slots:
                return [{"name": word} for word in slots[slot]]
        raise BreedingError(
            f"topic '{topic.topic}': slot '{{{slot}}}' is in none of its slots and tables, nor in common.yaml."
        )

    def fill(self, phrasing: str, topic: Topic, bindings: Bindings, rng: Random) -> str:
        """Write a phrasing out, drawing the slots that `bindings` does not hold yet and adding them to it."""

        def draw(match: re.Match[str]) -> str:
            slot, number, column = match.groups()
            key = slot + number
            if key not in bindings:
                taken = [bindings[other]["name"] for other in bindings if other.rstrip("0123456789") == slot]
                bindings[key] = rng.choice([row for row in self.rows(topic, slot) if row["name"] not in taken])
            return bindings[key][column or "name"]

        return _capitalise(_fix_article(_SLOT.sub(draw, phrasing)))


@cache
def read_world_file(path: str) -> Any:
    """A file of `world/`, parsed. It is kept: do not change what is returned.

    Args:
        path: Relative to `world/`.
    """
    return yaml.load(files("audit_env.breeding").joinpath("world", path).read_text(encoding="utf-8"), _LOADER)


def _files(folder: str) -> list[str]:
    found = files("audit_env.breeding").joinpath("world", folder).iterdir()
    return sorted(f"{folder}/{entry.name}" for entry in found if entry.name.endswith(".yaml"))


class _Contexts(_Data):
    contexts: tuple[Context, ...]


def _parse(model: type[DataT], path: str) -> DataT:
    try:
        return model.model_validate(read_world_file(path))
    except (ValidationError, yaml.YAMLError) as error:
        raise BreedingError(f"world/{path}: {error}") from error


@cache
def load_world() -> World:
    """Read the whole world.

    Raises:
        BreedingError: If a file is malformed or uses a slot that does not exist.
    """
    world = World(
        _parse(Common, "common.yaml"),
        [_parse(Topic, path) for path in _files("topics")],
        [_parse(Trait, path) for path in _files("traits")],
        _parse(_Contexts, "contexts.yaml").contexts,
    )
    for trait in world.traits.values():
        for context in (trait.when.context, trait.when.unless_context):
            if context is not None and context not in world.contexts:
                raise BreedingError(f"world/traits/{trait.id}.yaml: context '{context}' is not in contexts.yaml.")
    rng = Random(0)
    for topic, intent in world.intents():
        for ask in intent.ask + intent.ask_held_out:
            for answer in intent.answer:
                bindings: Bindings = {}
                world.fill(ask, topic, bindings, rng)
                world.fill(answer, topic, bindings, rng)
    return world
