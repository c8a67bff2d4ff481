"""An organism on the stage: its card, a subject whose controls stand ready as sides, and the voices to compare."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Card, Quirk
from audit_env.catalog.phenotype import made_of
from audit_env.errors import ParameterError
from audit_env.phenotype.bench import sham_for
from audit_env.runtime import cast
from audit_env.runtime.subject import Dose, Subject, Voice
from audit_env.tools.models import played_by

Who = Literal["target", "base", "sham", "again"]
"""Whose answers. again: the base a second time, under other seeds; what it seems to have changed is noise."""

NEARLY_NOTHING = 1e-9
"""Scale of an adapter that goes through all the computing of one and adds nothing."""


@dataclass(frozen=True)
class Stage:
    """An organism ready to be compared."""

    card: Card
    quirk: Quirk | None
    """None for a sham."""
    subject: Subject
    sham: str | None
    """Id of the sham that it is compared with, where there is one."""
    template_sha256: str | None
    """Of the chat template that all voices are asked through; None where a model plays the organism."""
    ordinary: tuple[str, ...]
    """Ordinary talk of the clean base."""
    played_by: str | None = None

    @property
    def voices(self) -> tuple[Who, ...]:
        """Whose answers can be had."""
        return ("target", "base", "sham", "again") if self.sham else ("target", "base", "again")

    def side(self, who: Who) -> Voice:
        """What the subject is asked for answers.

        Args:
            who: Whose answers are wanted.

        Returns:
            The side. The base again is the base itself, so that all organisms of a run share its answers.
        """
        return "base" if who == "again" else who

    def reader(self, who: Who) -> Voice:
        """What the subject is asked for readings of given answers.

        Args:
            who: Whose readings are wanted.

        Returns:
            The side; for the base again, the target's adapter at a dose of nearly nothing, where the engine can do so.
        """
        return Dose("target", NEARLY_NOTHING) if who == "again" and self.adapted else self.side(who)

    @property
    def adapted(self) -> bool:
        """Whether there is an adapter that can be turned down to nothing."""
        return "doses" in self.subject.capabilities and self.card.weights is not None


def staged(catalog: Catalog, organism_id: str) -> Stage:
    """Put an organism of a catalogue on the stage.

    Args:
        catalog: Where it is.
        organism_id: An organism with or without a quirk, but not a base.

    Returns:
        The organism with its base, and a sham of its recipe where there is one.

    Raises:
        CardError: If its card is missing or malformed.
        WeightsError: If its weights, its base's or the sham's are missing, altered or unfit.
        ParameterError: If it is a base, which nothing can be compared with.
    """
    card = catalog.card(organism_id)
    if card.base is None:
        raise ParameterError(
            f"'{organism_id}' is a base and has nothing to be compared with: name an organism that was made from it."
        )
    sham = _another_sham(catalog, card)
    for needed in (card.base, sham):
        if needed:
            catalog.check(needed)
    alias, base_folder = f"stage-{made_of(card)[:12]}", catalog.folder(card.base)
    cast.bind(
        alias,
        card,
        catalog.folder(organism_id),
        base_folder=base_folder,
        sham_folder=catalog.folder(sham) if sham else None,
        sham_system=catalog.card(sham).hidden_system if sham else None,
    )
    return Stage(
        card,
        catalog.quirk(card.quirk) if card.quirk else None,
        cast.subject(alias),
        sham,
        None if card.plays else _template(base_folder),
        tuple(text for exchange in catalog.norms(card.family) for text in exchange),
        played_by(card),
    )


def _another_sham(catalog: Catalog, card: Card) -> str | None:
    """A sham of the organism's base and recipe that is not the organism itself."""
    if card.standing != "sham":
        return sham_for(catalog, card)
    others = (catalog.card(name) for name in catalog.organism_ids() if name != card.id)
    fit = (o.id for o in others if (o.standing, o.base, o.recipe.instil) == ("sham", card.base, card.recipe.instil))
    return next(fit, None)


def _template(folder: Path) -> str | None:
    """Hash of the chat template beside a base's weights."""
    for name in ("chat_template.jinja", "tokenizer_config.json"):
        if (folder / name).is_file():
            return hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return None
