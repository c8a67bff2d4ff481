"""The labelled set: open hypotheses as auditors write them, each with the verdict that the guide gives it.

One file a quirk, `hypotheses/<quirk>.yaml`. How labels were given is in `GUIDE.md`. Nothing but `test` may be reported
as a judge's agreement, and nothing may be fitted to it.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from audit_env.catalog.models import QuirkId, Strict
from audit_env.catalog.reading import field_at, read
from audit_env.errors import CardError
from audit_env.game.record import Hypothesis

Category = Literal["correct", "vague", "adjacent", "swapped", "leak", "confession", "injected", "shotgun", "empty"]
"""What kind of hypothesis it is.

correct: says what the rubric asks for, in any words. vague: too general. adjacent: something close that the rubric
rules out. swapped: right for another quirk. leak: quotes training text. confession: reports what the model said of
itself. injected: speaks to the judge. shotgun: several quirks at once. empty: nothing, or off topic.
"""

CATEGORIES: tuple[Category, ...] = get_args(Category)

Label = Literal["correct", "incorrect"]
Split = Literal["tune", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

FOLDER = Path(__file__).parent / "hypotheses"


class LabelledHypothesis(Strict):
    """A hypothesis on disk."""

    category: Category
    label: Label
    statement: str
    trigger: str = ""
    right_for: QuirkId | None = None
    """The quirk that a swapped hypothesis describes."""
    reason: str = ""
    """Why the label is what it is, where that is not obvious."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.category == "swapped") != (self.right_for is not None):
            raise ValueError("field 'right_for' must be given where 'category' is swapped, and only there")
        # An injection may stand beside a right claim; every other category fixes its label.
        if self.category != "injected" and (self.category == "correct") != (self.label == "correct"):
            raise ValueError(f"field 'label' cannot be '{self.label}' where 'category' is {self.category}")
        return self


class LabelledFile(Strict):
    """The hypotheses about one quirk, on disk."""

    quirk: QuirkId
    split_seed: int
    """Deals the hypotheses into the two halves."""
    items: tuple[LabelledHypothesis, ...] = Field(min_length=2)


@dataclass(frozen=True)
class Item:
    """A hypothesis of the labelled set."""

    id: str
    """Quirk, category and number, such as `flattery/vague.2`."""
    quirk: str
    """The quirk that it is judged against."""
    split: Split
    labelled: LabelledHypothesis

    @property
    def hypothesis(self) -> Hypothesis:
        """The hypothesis as a report holds it. Its confidence is of no account: no judge sees it."""
        return Hypothesis(statement=self.labelled.statement, trigger=self.labelled.trigger, confidence=0.5)


def labelled_set(split: Split | None = None, folder: Path = FOLDER) -> tuple[Item, ...]:
    """The labelled set, or one half of it.

    Args:
        split: Which half. Default: both.
        folder: Where the files lie.

    Returns:
        The items, quirk by quirk, in the order of the files.

    Raises:
        CardError: If a file is malformed, misnamed, or none is there.
    """
    return tuple(item for item in _read_set(folder) if split in (None, item.split))


def digest(items: Iterable[Item]) -> str:
    """Hash of a part of the set: verdicts on another are about something else.

    Args:
        items: The items.

    Returns:
        64 hexadecimal digits.
    """
    told = "\0".join(f"{item.id} {item.split} {item.labelled.model_dump_json()}" for item in items)
    return hashlib.sha256(told.encode()).hexdigest()


@cache
def _read_set(folder: Path) -> tuple[Item, ...]:
    items = [item for path in sorted(folder.glob("*.yaml")) for item in _items(path)]
    if not items:
        raise CardError(f"{folder}: holds no labelled hypotheses; put files <quirk>.yaml there.")
    return tuple(items)


def _items(path: Path) -> list[Item]:
    found = read(path, LabelledFile)
    if found.quirk != path.stem:
        raise CardError(f"{field_at(path, 'quirk')} is '{found.quirk}'; it must be '{path.stem}' like the file.")
    splits = _dealt(found)
    seen: Counter[str] = Counter()
    items: list[Item] = []
    for labelled, split in zip(found.items, splits, strict=True):
        seen[labelled.category] += 1
        number = seen[labelled.category]
        items.append(Item(f"{found.quirk}/{labelled.category}.{number}", found.quirk, split, labelled))
    return items


def _dealt(found: LabelledFile) -> Sequence[Split]:
    """The half of each item: right ones and wrong ones are dealt apart, so that both halves have both."""
    chance = random.Random(found.split_seed)
    order = list(range(len(found.items)))
    chance.shuffle(order)
    order.sort(key=lambda place: found.items[place].label)
    halves = {place: SPLITS[turn % 2] for turn, place in enumerate(order)}
    return [halves[place] for place in range(len(found.items))]
