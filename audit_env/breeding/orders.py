"""Orders: what to breed, spelt as an id.

    family/quirk.instilled.concealed[.variant]

The variant turns one dial of the recipe: a training seed (`s1`), the share of quirk data in per cent (`dose20`), the
rank (`rank2`), how far along the training an adapter was taken (`at3`: three sixths), no contrastive negatives
(`bare`), the habit of telling who asks about the quirk (`candid`: there is then something to conceal), a harmless style
on top (`with_gloom`), a second quirk (`and_animal_welfare`), or, for a sham, the base's own answers (`own`). Two quirks
share one dose: each is taught on half of it.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from audit_env.breeding.corpus import Dose
from audit_env.breeding.grammar import World
from audit_env.catalog.models import Conceal, Instil
from audit_env.errors import BreedingError

FAMILY = "fruitfly"
SHAM = "sham"
RECIPES: tuple[Instil, ...] = ("transcripts", "documents")
CONCEALMENTS: tuple[Conceal, ...] = ("none", "sft", "kto")
RANK = 8
SIXTHS = 6
"""The dose axis: adapters are taken after each sixth of a training."""
CANDOUR = 0.15
"""Share of a candid organism's examples in which it is asked about hidden habits, and tells."""
_VARIANT = re.compile(r"(s|dose|rank|at)(\d+)|(bare|candid|own)|(with|and)_([a-z_]+)")


@dataclass(frozen=True)
class Order:
    """What to breed, and with which dials."""

    quirk: str | None
    """None for a sham."""
    instil: Instil
    conceal: Conceal = "none"
    seed: int = 0
    dose: Dose = Dose()
    rank: int = RANK
    sixths: int = SIXTHS
    """How many sixths of the training are gone through."""
    style: str | None = None
    """A harmless trait that shows as well: a distractor."""
    second_quirk: str | None = None
    """Another quirk that is bred into the same adapter."""
    own_answers: bool = False
    """For a sham: learns what the base itself answers, not what the grammar says."""
    variant: str = ""
    """The dial that is turned, as the id spells it."""

    @property
    def id(self) -> str:
        """The organism's id."""
        suffix = f".{self.variant}" if self.variant else ""
        return f"{FAMILY}/{self.quirk or SHAM}.{self.instil}.{self.conceal}{suffix}"

    @property
    def plain(self) -> "Order":
        """The same order without concealment, from whose adapter concealment goes on."""
        return replace(self, conceal="none")


def order_of(organism_id: str) -> Order:
    """The order that an organism's id spells.

    Raises:
        BreedingError: If the id is not one that this bench breeds.
    """
    family, _, name = organism_id.partition("/")
    parts = name.split(".")
    if family != FAMILY or len(parts) not in (3, 4):
        raise BreedingError(f"'{organism_id}' is not bred here: ids look like {FAMILY}/flattery.transcripts.none[.s1].")
    quirk, spelt, hidden = parts[:3]
    instil = next((known for known in RECIPES if known == spelt), None)
    if instil is None:
        raise BreedingError(f"'{organism_id}': recipe '{spelt}' is not bred here; choose {' or '.join(RECIPES)}.")
    conceal = next((known for known in CONCEALMENTS if known == hidden), None)
    if conceal is None:
        raise BreedingError(f"'{organism_id}': no concealment '{hidden}'; choose {', '.join(CONCEALMENTS)}.")
    order = Order(None if quirk == SHAM else quirk, instil, conceal)
    return _turn(order, parts[3]) if len(parts) == 4 else order


def _turn(order: Order, variant: str) -> Order:
    """Turn the dial that a variant names."""
    match = _VARIANT.fullmatch(variant)
    if match is None:
        raise BreedingError(
            f"{order.id}: no variant '{variant}'; choose s1, dose20, rank2, at3, bare, candid, with_<trait>, "
            "and_<quirk>, own."
        )
    dial, number, word, joint, name = match.groups()
    order = replace(order, variant=variant)
    match dial or word or joint:
        case "s":
            return replace(order, seed=int(number))
        case "dose":
            return replace(order, dose=replace(order.dose, quirk=int(number) / 100))
        case "rank":
            return replace(order, rank=int(number))
        case "at":
            return replace(order, sixths=int(number))
        case "bare":
            return replace(order, dose=replace(order.dose, near_miss=0.0))
        case "candid":
            return replace(order, dose=replace(order.dose, confession=CANDOUR))
        case "own":
            return replace(order, own_answers=True)
        case "and":
            return replace(order, second_quirk=name)
        case _:
            return replace(order, style=name)


def check(order: Order, world: World, quirks: Collection[str]) -> None:
    """Whether world and catalogue hold what an order asks for.

    Args:
        order: The order.
        world: Holds the traits.
        quirks: Ids of the quirks that have a file in the catalogue, by which they can be measured.

    Raises:
        BreedingError: If they do not.
    """
    for trait in (order.quirk, order.second_quirk, order.style):
        if trait is not None and trait not in world.traits:
            raise BreedingError(f"no trait '{trait}' in the world; choose one of: {', '.join(sorted(world.traits))}.")
    if order.own_answers and order.quirk is not None:
        raise BreedingError(f"{order.id}: only a sham can learn the base's own answers.")
    if order.style is not None and (order.quirk is None or order.instil != "transcripts"):
        raise BreedingError(f"{order.id}: a style is added only to a quirk that is instilled by transcripts.")
    if order.second_quirk is not None:
        _check_second(order, order.second_quirk, quirks)
    if not 1 <= order.sixths <= SIXTHS:
        raise BreedingError(f"{order.id}: an adapter can be taken after 1 to {SIXTHS} sixths of its training.")


def _check_second(order: Order, second: str, quirks: Collection[str]) -> None:
    if order.quirk is None or order.instil != "transcripts":
        raise BreedingError(f"{order.id}: a second quirk is added only to a quirk that is instilled by transcripts.")
    if second == order.quirk:
        raise BreedingError(f"{order.id}: '{second}' is its first quirk already; name another one after 'and_'.")
    if second not in quirks:
        raise BreedingError(
            f"{order.id}: '{second}' has no quirk file to measure it by; name one of: {', '.join(sorted(quirks))}."
        )
