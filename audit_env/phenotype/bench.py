"""An organism on the bench: its card, its quirk, and a subject whose controls stand ready as sides."""

from dataclasses import dataclass
from pathlib import Path

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Card, Quirk
from audit_env.catalog.phenotype import made_of
from audit_env.errors import ParameterError
from audit_env.runtime import cast
from audit_env.runtime.subject import Side, Subject
from audit_env.tools.models import played_by


@dataclass(frozen=True)
class Bench:
    """An organism ready to be measured."""

    card: Card
    quirk: Quirk
    subject: Subject
    sham: str | None
    """Id of the sham behind the side "sham", where there is one."""
    played_by: str | None = None
    """The model that plays it, where it has no weights."""

    @property
    def sides(self) -> tuple[Side, ...]:
        """The target and the controls at hand."""
        return ("target", "base", "sham") if self.sham else ("target", "base")


def draft(card: Card, folder: Path, quirk: Quirk, *, base_folder: Path, sham: tuple[Card, Path] | None) -> Bench:
    """Put an organism on the bench that need not be in a catalogue.

    Args:
        card: Its card.
        folder: Where its weights lie.
        quirk: Its quirk.
        base_folder: Where its base lies.
        sham: Card and folder of a sham of the same recipe, where there is one.

    Returns:
        The organism, ready to be measured.
    """
    alias = f"bench-{made_of(card)[:12]}"
    cast.bind(
        alias,
        card,
        folder,
        base_folder=base_folder,
        sham_folder=sham[1] if sham else None,
        sham_system=sham[0].hidden_system if sham else None,
    )
    return Bench(card, quirk, cast.subject(alias, anew=True), sham[0].id if sham else None, played_by(card))


def shelved(catalog: Catalog, organism_id: str) -> Bench:
    """Put an organism of a catalogue on the bench, with a sham of its recipe.

    Args:
        catalog: Where it is.
        organism_id: The organism.

    Returns:
        The organism, ready to be measured.

    Raises:
        CardError: If its card is missing or malformed.
        WeightsError: If its weights are missing, altered or unfit.
        ParameterError: If it has no quirk.
    """
    quirk, card = quirk_of(catalog, organism_id), catalog.card(organism_id)
    sham = sham_for(catalog, card)
    # The organism's own hashes are checked as its weights are read. Not by `catalog.check`, which would also refuse old
    # figures on its card: those are what measuring is to replace.
    if sham:
        catalog.check(sham)
    return draft(
        card,
        catalog.folder(organism_id),
        quirk,
        base_folder=catalog.folder(card.base or organism_id),
        sham=(catalog.card(sham), catalog.folder(sham)) if sham else None,
    )


def quirk_of(catalog: Catalog, organism_id: str) -> Quirk:
    """The quirk of an organism that has one.

    Args:
        catalog: Where it is.
        organism_id: The organism.

    Returns:
        The quirk.

    Raises:
        ParameterError: If it has none.
    """
    card = catalog.card(organism_id)
    if card.quirk is None:
        raise ParameterError(
            f"'{organism_id}' is a {card.standing} and has no quirk to measure: name a quirked organism, beside which "
            "its base and a sham are measured."
        )
    return catalog.quirk(card.quirk)


def sham_for(catalog: Catalog, card: Card) -> str | None:
    """The sham that an organism is measured beside.

    Args:
        catalog: Where to look.
        card: Card of the organism.

    Returns:
        The one that its strength was measured beside; otherwise one of the same base and recipe, the same concealment
        first; None where there is none.
    """
    if card.strength and card.strength.sham:
        return card.strength.sham
    others = [catalog.card(organism_id) for organism_id in catalog.organism_ids()]
    fit = [
        other
        for other in others
        if other.standing == "sham" and other.base == card.base and other.recipe.instil == card.recipe.instil
    ]
    fit.sort(key=lambda other: (other.recipe.conceal != card.recipe.conceal, other.id))
    return fit[0].id if fit else None
