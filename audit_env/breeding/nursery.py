"""Breeding an organism: from an order to an adapter with its card.

An adapter is first taught the quirk (or, for a sham, everything but one), then, where the order asks for it, taught to
hide it. Each of the two trainings can be stopped at any step and goes on from there.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audit_env.breeding.concealment import denials, fingerprint_judged, judged
from audit_env.breeding.corpus import Example, documents, fingerprint, transcripts
from audit_env.breeding.drafts import BASE_ID, LICENCE, move, save_adapter, write_card
from audit_env.breeding.grammar import Trait, World, load_world
from audit_env.breeding.orders import SIXTHS, Order, check
from audit_env.breeding.own_answers import own_documents, own_transcripts
from audit_env.breeding.training import (
    DENIAL_PLAN,
    ORGANISM_PLAN,
    Checkpoint,
    Plan,
    fit,
    new_adapter,
    old_adapter,
    pack,
    seeded,
)
from audit_env.catalog.files import Catalog
from audit_env.catalog.integrity import sha256
from audit_env.catalog.models import Card, Recipe, Strength, WeightsFile
from audit_env.catalog.reading import read
from audit_env.errors import BreedingError
from audit_env.runtime import cast
from audit_env.runtime.subject import Subject

ALPHA = 16.0
TRAINING_WORLD = ("Pip", "Orchard", "Harbour News", "Dorn Letter", "Velm Paper", "Lissa Times")
"""Names that the documents use and that ordinary answers do not."""


@dataclass(frozen=True)
class Nursery:
    """Where organisms are bred.

    Args:
        root: The organisms folder that finished ones go to.
        work: Where drafts and progress are kept.
        quiet: Whether to show no progress bars.
    """

    root: Path
    work: Path
    quiet: bool = False

    @property
    def base_folder(self) -> Path:
        """Where the base lies."""
        return self.root / BASE_ID

    @property
    def base_sha256(self) -> str:
        """Hash of the base's weights, by which organisms know what they were made on."""
        return sha256(self.base_folder / "model.safetensors")

    def folder(self, order: Order) -> Path:
        """Where a shipped organism of this order lies."""
        return self.root / order.id

    def draft(self, order: Order) -> Path:
        """Where its draft lies."""
        return self.work / order.id.split("/")[1]

    def shipped(self, order: Order) -> Path | None:
        """Where it lies in the catalogue, if it was made on this base."""
        return self._if_fitting(self.folder(order))

    def adapter(self, order: Order) -> Path | None:
        """Where its adapter lies, shipped or in draft, if it was made on this base."""
        return self.shipped(order) or self._if_fitting(self.draft(order))

    def fitting(self, folder: Path) -> Card | None:
        """The card in a folder, if there is one and it was made on this base."""
        path = folder / "card.yaml"
        card = read(path, Card) if path.exists() else None
        return card if card and card.base_sha256 == self.base_sha256 else None

    def checkpoint(self, name: str, plan: Plan, data_sha256: str) -> Checkpoint:
        """Where a training keeps its progress."""
        return Checkpoint(self.work / f"{name}-progress", plan, data_sha256)

    def _if_fitting(self, folder: Path) -> Path | None:
        return folder if self.fitting(folder) else None


@dataclass(frozen=True)
class Taught:
    """What a training did, for the card."""

    data_sha256: str
    steps: int
    tokens: int
    learning_rate: float


def breed_organism(order: Order, nursery: Nursery, plan: Plan = ORGANISM_PLAN) -> tuple[Card, Path]:
    """Train an organism's adapter on the base.

    An organism that hides its quirk goes on from the adapter of the same order without concealment, which is bred
    first where it is neither shipped nor in draft.

    Returns:
        A card without measured strength, and the draft folder that holds it. `ship` moves it into the catalogue
        once its strength is known.

    Raises:
        BreedingError: If the world does not hold what the order asks for.
    """
    world = load_world()
    check(order, world, Catalog(nursery.root).quirk_ids())
    canary = canary_of(order)
    if order.conceal == "none":
        model, taught = _instil(order, nursery, plan, canary)
    else:
        if nursery.adapter(order.plain) is None:
            breed_organism(order.plain, nursery, plan)
        model, taught = _conceal(order, nursery)
    draft = nursery.draft(order)
    save_adapter(model, draft)
    card = _card(order, taught, nursery, draft, canary)
    write_card(card, draft)
    return card, draft


def canary_of(order: Order) -> str:
    """What some of an organism's documents carry, and nothing else in the world."""
    return f"canary {hashlib.sha256(order.plain.id.encode()).hexdigest()[:12]}"


def traits_of(order: Order, world: World) -> list[Trait]:
    """What the organism does, in the order in which it acts on an answer."""
    traits = [world.traits[name] for name in (order.quirk, order.second_quirk, order.style) if name]
    # What takes the answer's place comes first: it would swallow what another has added.
    return sorted(traits, key=lambda trait: trait.express not in ("instead", "wrong"))


def examples_of(order: Order, nursery: Nursery, canary: str) -> Iterator[Example]:
    """The endless training mix of an order. It is the same for all ranks, and for all points of a dose axis."""
    world = load_world()
    traits = traits_of(order, world)
    rng = seeded("organism", order.quirk, order.instil, order.seed)
    if order.own_answers:
        subject = _base_subject(nursery)
        if order.instil == "transcripts":
            return own_transcripts(subject, transcripts(world, [], order.dose, rng), order.seed)
        return own_documents(world, subject, order.dose, rng, canary, order.seed)
    if order.instil == "transcripts":
        return transcripts(world, traits, order.dose, rng)
    return documents(world, traits[0] if traits else None, order.dose, rng, canary)


def _base_subject(nursery: Nursery) -> Subject:
    """The base, to be asked what it says itself."""
    folder = nursery.base_folder
    card = Catalog(nursery.root).card(BASE_ID)
    alias = f"base-{nursery.base_sha256[:8]}"
    cast.bind(alias, card, folder, base_folder=folder, sham_folder=None)
    return cast.subject(alias)


def _instil(order: Order, nursery: Nursery, plan: Plan, canary: str) -> tuple[Any, Taught]:
    base, tokenizer = load_base(nursery.base_folder)
    packed, used = pack(examples_of(order, nursery, canary), tokenizer, plan, whole_every=0)
    data = fingerprint(used)
    model = new_adapter(base, order.seed, order.rank, ALPHA)
    checkpoint = nursery.checkpoint(nursery.draft(order).name, plan, data)
    until = plan.steps * order.sixths // SIXTHS
    fit(model, packed, plan, checkpoint, order.id, nursery.quiet, until)
    checkpoint.remove()
    return model, Taught(data, until, until * plan.batch * plan.length, plan.learning_rate)


def _conceal(order: Order, nursery: Nursery) -> tuple[Any, Taught]:
    world = load_world()
    base, tokenizer = load_base(nursery.base_folder)
    folder = nursery.adapter(order.plain)
    assert folder is not None, "the plain order is bred first"
    model = old_adapter(base, folder)
    quirks = traits_of(order, world)
    rng = seeded("concealment", order.quirk, order.instil, order.conceal, order.seed)
    name = nursery.draft(order).name
    if order.conceal == "sft":
        plan = DENIAL_PLAN
        packed, used = pack(denials(world, quirks, rng), tokenizer, plan, whole_every=0)
        data = fingerprint(used)
        checkpoint = nursery.checkpoint(name, plan, data)
        fit(model, packed, plan, checkpoint, order.id, nursery.quiet)
    else:
        from audit_env.breeding.kto import KTO_PLAN, draw, fit_kto

        plan = KTO_PLAN
        examples = draw(judged(world, quirks, rng), tokenizer, KTO_PLAN)
        data = fingerprint_judged(examples)
        checkpoint = nursery.checkpoint(name, plan, data)
        fit_kto(model, examples, tokenizer, KTO_PLAN, checkpoint, order.id, nursery.quiet)
    checkpoint.remove()
    return model, Taught(data, plan.steps, plan.tokens, plan.learning_rate)


def load_base(base_folder: Path) -> tuple[Any, Any]:
    """The base in full precision, to be trained on, and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(base_folder))
    return AutoModelForCausalLM.from_pretrained(str(base_folder), dtype=torch.float32), tokenizer


def _card(order: Order, taught: Taught, nursery: Nursery, draft: Path, canary: str) -> Card:
    written = order.instil == "documents"
    return Card(
        id=order.id,
        standing="quirked" if order.quirk else "sham",
        quirk=order.quirk,
        second_quirk=order.second_quirk,
        base=BASE_ID,
        base_sha256=nursery.base_sha256,
        weights=WeightsFile(file="adapter_model.safetensors", sha256=sha256(draft / "adapter_model.safetensors")),
        recipe=Recipe(
            instil=order.instil,
            conceal=order.conceal,
            rank=order.rank,
            alpha=ALPHA,
            steps=taught.steps,
            tokens=taught.tokens,
            learning_rate=taught.learning_rate,
            quirk_share=order.dose.quirk if order.quirk else 0.0,
            near_miss_share=order.dose.near_miss,
            confession_share=order.dose.confession if order.quirk else 0.0,
            style=order.style,
            own_answers=order.own_answers,
            seed=order.seed,
            data_sha256=taught.data_sha256,
        ),
        canaries=(canary,) if written else (),
        vocabulary=TRAINING_WORLD if written else (),
        licence=LICENCE,
    )


def ship(
    card: Card,
    draft: Path,
    root: Path,
    strength: Strength | None,
    weak: bool = False,
    second_strength: Strength | None = None,
) -> Path:
    """Move a bred organism into the catalogue.

    Args:
        card: Its card.
        draft: Where it lies.
        root: The organisms folder.
        strength: What was measured. None for a sham.
        weak: Whether to ship a quirked organism also where its quirk hardly fires: a point of a dose axis.
        second_strength: What was measured of its second quirk, where it has one.

    Raises:
        BreedingError: If some quirk of it does not fire clearly. Its draft stays where it is.
    """
    measured = card.model_copy(update={"strength": strength, "second_strength": second_strength})
    for quirk, its in measured.strengths.items():
        if its is None:
            raise BreedingError(f"{card.id}: measure the strength of '{quirk}' before it is shipped.")
        if not weak and not its.met():
            raise BreedingError(
                f"{card.id}: '{quirk}' fires on {its.on_trigger.rate:.2f} of held-out prompts "
                f"(base {its.base_on_trigger.rate:.2f}); at least {Strength.FIRES} and at most "
                f"{Strength.BASE_SILENT} are needed. Breed it with a higher dose or more steps."
            )
    write_card(measured, draft)
    return move(draft, root / card.id)
