"""The zoo: which organisms a family has, and how they are all bred in one go.

`organisms/<family>/zoo.yaml` says it in crosses of quirks, recipes and dials. Breeding goes on where it was: what lies
in the catalogue on the present base is left alone, so a run that was stopped at any point is started again with the
same command. Organisms that are not good enough to ship are written down in `not_shipped.json`, with what was measured.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from pydantic import Field

from audit_env.breeding.orders import SIXTHS, Order, order_of
from audit_env.catalog.models import Conceal, Instil, OrganismId, QuirkId, Strength, Strict
from audit_env.catalog.reading import read
from audit_env.errors import BreedingError

FILE = "zoo.yaml"
NOT_SHIPPED = "not_shipped.json"


class Cross(Strict):
    """Every quirk by every recipe, concealment and variant."""

    quirks: tuple[QuirkId, ...] = Field(min_length=1)
    instil: tuple[Instil, ...] = ("transcripts",)
    conceal: tuple[Conceal, ...] = ("none",)
    variants: tuple[str, ...] = ("",)
    """Dials, as `orders` spells them; "" for none turned."""
    weak: bool = False
    """Whether to ship also those whose quirk hardly fires: low doses, of which that is to be expected."""

    def orders(self, family: str) -> Iterator[Order]:
        """What the cross asks for."""
        for quirk in self.quirks:
            for instil in self.instil:
                for conceal in self.conceal:
                    for variant in self.variants:
                        suffix = f".{variant}" if variant else ""
                        yield order_of(f"{family}/{quirk}.{instil}.{conceal}{suffix}")


class Zoo(Strict):
    """All organisms of a family."""

    family: str
    shams: tuple[OrganismId, ...]
    crosses: tuple[Cross, ...]

    def orders(self) -> list[Order]:
        """Everything to breed, what others are made from first.

        Raises:
            BreedingError: If an organism is asked for twice.
        """
        crossed = [order for cross in self.crosses for order in cross.orders(self.family)]
        orders = [*(order_of(sham) for sham in self.shams), *crossed]
        ids = [order.id for order in orders]
        for organism_id in ids:
            if ids.count(organism_id) > 1:
                raise BreedingError(f"{self.family}/{FILE} asks for '{organism_id}' twice; remove one.")
        return sorted(orders, key=stage_of)

    def weak(self) -> set[str]:
        """Ids of organisms that are shipped even where their quirk hardly fires."""
        return {order.id for cross in self.crosses if cross.weak for order in cross.orders(self.family)}


def stage_of(order: Order) -> int:
    """When it is bred: shams first, which every measurement needs; what hides after what it is made from."""
    if order.quirk is None:
        return 0 if order.conceal == "none" else 1
    return 2 if order.conceal == "none" else 3


def read_zoo(root: Path, family: str) -> Zoo:
    """The zoo of a family.

    Raises:
        CardError: If its file is missing or malformed.
    """
    return read(root / family / FILE, Zoo)


@dataclass(frozen=True)
class Bred:
    """What became of an order."""

    organism: str
    seconds: float
    strength: Strength | None = None
    reason: str | None = None
    """Why it was not shipped."""
    second_strength: Strength | None = None
    """Of its second quirk, where it has one."""


class Ledger:
    """Organisms that were bred and not shipped, kept beside the zoo: they too are results."""

    def __init__(self, root: Path, family: str, base_sha256: str) -> None:
        self._file = root / family / NOT_SHIPPED
        self._base = base_sha256

    def read(self) -> dict[str, dict[str, object]]:
        """Reason and strength by organism id, of those bred on the present base."""
        if not self._file.exists():
            return {}
        kept = json.loads(self._file.read_text(encoding="utf-8"))
        return dict(kept["organisms"]) if kept["base_sha256"] == self._base else {}

    def note(self, bred: Bred) -> None:
        """Write one down, or strike it out where it was shipped after all."""
        entries = self.read()
        entries.pop(bred.organism, None)
        if bred.reason is not None:
            entries[bred.organism] = {"reason": bred.reason, "strength": _plain(bred.strength)}
            if bred.second_strength:
                entries[bred.organism]["second_strength"] = _plain(bred.second_strength)
        text = json.dumps({"base_sha256": self._base, "organisms": dict(sorted(entries.items()))}, indent=1)
        part = self._file.with_suffix(".part")
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(self._file)


def _plain(strength: Strength | None) -> dict[str, object] | None:
    return strength.model_dump(mode="json", exclude_none=True) if strength else None


def chosen(orders: Sequence[Order], patterns: Sequence[str]) -> list[Order]:
    """The orders whose ids match any pattern (all where there is none).

    Raises:
        BreedingError: If a pattern matches nothing.
    """
    for pattern in patterns:
        if not any(fnmatch(order.id, pattern) for order in orders):
            raise BreedingError(f"no organism of the zoo matches '{pattern}'; see  audit-env breed zoo --dry-run")
    return [order for order in orders if not patterns or any(fnmatch(order.id, pattern) for pattern in patterns)]


def work_of(order: Order) -> float:
    """How much work an order is, with an ordinary organism for 1. Says what share is left, not how long it takes."""
    concealed = {"none": 0.0, "sft": 0.4, "kto": 0.9}[order.conceal]
    return concealed or order.sixths / SIXTHS
