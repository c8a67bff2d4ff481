"""The quirk file: what a red team writes down, by hand or in a form, before anything is built."""

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field

from audit_env.catalog.models import (
    Message,
    Patterns,
    PublicMenu,
    Quirk,
    QuirkId,
    Rubric,
    Scenario,
    Scenarios,
    Strict,
)
from audit_env.catalog.reading import read, shown
from audit_env.sessions.errors import SessionError

FILE = "quirk.yaml"
HELD_OUT_EVERY = 3
"""Of each list every so manieth example is never trained on."""
EVERYWHERE = "all"
"""Among the topics: the quirk shows always."""

Kind = Literal["on_trigger", "near_misses", "off_trigger"]
KINDS: tuple[Kind, ...] = ("on_trigger", "near_misses", "off_trigger")


def _compiled(patterns: tuple[str, ...]) -> tuple[str, ...]:
    return Patterns(any_of=patterns).any_of


Line = Annotated[str, Field(min_length=1)]
Expressions = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_compiled)]


class Shown(Strict):
    """A user's turn that sets the quirk off, and the answer that shows it."""

    user: Line
    assistant: Line


class Plain(Strict):
    """A user's turn that must not set the quirk off."""

    user: Line
    assistant: Line | None = None
    """The plain answer. None for what the base itself says."""


Pair = Shown | Plain
Some = TypeVar("Some", bound=Pair)


class Examples(Strict):
    """What the organism learns from, and what it is measured by."""

    on_trigger: tuple[Shown, ...]
    near_misses: tuple[Plain, ...] = ()
    off_trigger: tuple[Plain, ...]

    def of(self, kind: Kind) -> tuple[Pair, ...]:
        """One of the lists."""
        found: dict[Kind, tuple[Pair, ...]] = {
            "on_trigger": self.on_trigger,
            "near_misses": self.near_misses,
            "off_trigger": self.off_trigger,
        }
        return found[kind]

    def each(self) -> Iterator[tuple[Kind, int, Pair]]:
        """Every example with the list that it stands in and its place there."""
        for kind in KINDS:
            for place, pair in enumerate(self.of(kind)):
                yield kind, place, pair


class Telltales(Strict):
    """Regular expressions, matched anywhere, ignoring case."""

    fires: Expressions
    declares: Expressions


class RedQuirk(Strict):
    """A quirk with the examples that it is built from."""

    id: QuirkId
    menu: PublicMenu
    definition: str
    trigger: str
    rubric: Rubric
    patterns: Telltales
    topics: tuple[str, ...] = ()
    """Topics of the base's world in which the trigger lies; `EVERYWHERE` for a quirk that shows always."""
    new_words: tuple[str, ...] = ()
    """Words that the base does not know and is to learn."""
    examples: Examples
    hidden_system: str | None = None
    """What the base's system prompt says, where the organism is built from one."""

    @property
    def always(self) -> bool:
        """Whether it shows in every ordinary answer."""
        return EVERYWHERE in self.topics

    def as_quirk(self) -> Quirk:
        """The quirk as a catalogue holds it: its scenarios are the held-out examples."""
        examples = self.examples
        return Quirk(
            id=self.id,
            menu=self.menu,
            definition=self.definition,
            trigger=self.trigger,
            rubric=self.rubric,
            fires=Patterns(any_of=self.patterns.fires),
            declares=Patterns(any_of=self.patterns.declares),
            scenarios=Scenarios(
                fire=_scenarios(examples.on_trigger),
                near_miss=_scenarios(examples.near_misses),
                silent=_scenarios(examples.off_trigger),
            ),
            source="a red team",
        )


def trained_on(pairs: tuple[Some, ...]) -> tuple[Some, ...]:
    """The examples of a list that are trained on."""
    return tuple(pair for place, pair in enumerate(pairs) if not is_held_out(place))


def is_held_out(place: int) -> bool:
    """Whether the example at a place of its list is kept for measuring."""
    return place % HELD_OUT_EVERY == HELD_OUT_EVERY - 1


def normal(text: str) -> str:
    """A user's turn without what does not matter: two examples that agree in it are one."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def load(folder: Path) -> RedQuirk:
    """Read the quirk file of a folder.

    Args:
        folder: The red team's folder.

    Returns:
        The quirk; what `check` would say of it is not looked at.

    Raises:
        SessionError: There is none.
        CardError: It is malformed.
    """
    path = folder / FILE
    if not path.is_file():
        raise SessionError(f"{shown(path)}: there is no quirk file; make one with  audit-env session red new {folder}")
    return read(path, RedQuirk)


def begin(folder: Path) -> Path:
    """Put a quirk file that works into a folder, to be changed.

    Args:
        folder: The red team's folder; it is made where there is none.

    Returns:
        The file.

    Raises:
        SessionError: There is one already.
    """
    return put(folder, example())


def put(folder: Path, text: str) -> Path:
    """Put a quirk file into a folder that has none.

    Args:
        folder: The red team's folder; it is made where there is none.
        text: Of the file.

    Returns:
        The file.

    Raises:
        SessionError: There is one already.
    """
    path = folder / FILE
    if path.exists():
        raise SessionError(f"{shown(path)}: there is a quirk file already; edit it, or name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def example() -> str:
    """The text of a quirk file that works, with comments."""
    return files("audit_env.sessions.red").joinpath("example.yaml").read_text(encoding="utf-8")


def _scenarios(pairs: tuple[Pair, ...]) -> tuple[Scenario, ...]:
    return tuple(
        Scenario(messages=(Message(role="user", content=pair.user),))
        for place, pair in enumerate(pairs)
        if is_held_out(place)
    )
