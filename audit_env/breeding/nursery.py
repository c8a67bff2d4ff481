"""Breeding: from a recipe and a seed to an organism's folder with its card."""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import yaml

from audit_env.breeding.corpus import (
    LATE,
    READING,
    TALKING,
    Example,
    Mix,
    base_corpus,
    documents,
    fingerprint,
    transcripts,
)
from audit_env.breeding.grammar import load_world, read_world_file
from audit_env.breeding.near_words import new_words
from audit_env.breeding.orders import FAMILY, Order, check
from audit_env.breeding.tokenization import plain_text, train_tokenizer
from audit_env.breeding.training import (
    ORGANISM_PLAN,
    READING_PLAN,
    TALKING_PLAN,
    Checkpoint,
    Plan,
    fit,
    new_adapter,
    new_base,
    pack,
    seeded,
)
from audit_env.catalog.models import Card, Recipe, Strength, WeightsFile
from audit_env.errors import BreedingError

BASE_ID = f"{FAMILY}/base"
LICENCE = "MIT"
TOKENIZER_EXAMPLES = 40_000
WORD_REPEATS = 40
RANK, ALPHA = 8, 16.0
TRAINING_WORLD = ("Pip", "Orchard", "Harbour News", "Dorn Letter", "Velm Paper", "Lissa Times")
"""Names that the documents use and that ordinary answers do not."""


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_card(card: Card, folder: Path) -> None:
    """Write a card beside its weights."""
    data = card.model_dump(mode="json", exclude_none=True)
    (folder / "card.yaml").write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")


def breed_base(root: Path, work: Path, seed: int = 0, quiet: bool = False) -> Path:
    """Train the base from scratch, in two stages: reading everything, then mostly talking.

    Args:
        root: The organisms folder; the base goes to `root/fruitfly/base`.
        work: Where progress is kept until the base is done.
        seed: Seed of the corpus and of the initial weights.
        quiet: Whether to show no progress bar.

    Returns:
        The base's folder.
    """
    import torch

    work = work / f"base.s{seed}"
    draft = work / "base"
    draft.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(draft, seed)
    model = new_base(tokenizer, seed)
    data = [_stage(model, tokenizer, work, stage, seed, quiet) for stage in STAGES]
    model.to(torch.float16).save_pretrained(str(draft), safe_serialization=True)
    card = Card(
        id=BASE_ID,
        standing="base",
        kind="natural",
        weights=WeightsFile(file="model.safetensors", sha256=sha256(draft / "model.safetensors")),
        recipe=Recipe(
            instil="none",
            steps=sum(stage.plan.steps for stage in STAGES),
            tokens=sum(stage.plan.tokens for stage in STAGES),
            learning_rate=STAGES[0].plan.learning_rate,
            seed=seed,
            data_sha256=hashlib.sha256("".join(data).encode()).hexdigest(),
        ),
        licence=LICENCE,
    )
    write_card(card, draft)
    folder = _move(draft, root / FAMILY / "base")
    for stage, examples_hash in zip(STAGES, data, strict=True):
        _stage_file(work, stage, examples_hash).unlink(missing_ok=True)
    return folder


def _tokenizer(draft: Path, seed: int) -> Any:
    """Train the tokenizer, or load the one that an interrupted run had trained."""
    from transformers import AutoTokenizer

    if (draft / "tokenizer.json").exists():
        return AutoTokenizer.from_pretrained(str(draft))
    sample = islice(base_corpus(load_world(), seeded("tokenizer", seed), TALKING), TOKENIZER_EXAMPLES)
    said = (text for example in sample for text in plain_text(example))
    # Words that only strangers say are rare in the sample, and are to be tokens of their own all the same.
    words = [f" {word}" for word in new_words(read_world_file("near_words.yaml"))] * WORD_REPEATS
    return train_tokenizer(chain(said, words), draft)


@dataclass(frozen=True)
class Stage:
    """One stage of the base's training."""

    name: str
    rng: str
    """Names the stage's own stream of chance."""
    plan: Plan
    mix: Mix
    whole_every: int
    left_out: frozenset[str] = frozenset()


STAGES = (
    Stage("reading", "base", READING_PLAN, READING, whole_every=3, left_out=LATE),
    Stage("talking", "base:talking", TALKING_PLAN, TALKING, whole_every=8),
)


def _stage_file(work: Path, stage: Stage, examples_hash: str) -> Path:
    """Where a finished stage is kept: of these very examples, so that no other seed or world takes it up."""
    return work / f"{stage.name}-{examples_hash[:8]}.safetensors"


def _stage(model: Any, tokenizer: Any, work: Path, stage: Stage, seed: int, quiet: bool) -> str:
    """Train one stage, or load it where an interrupted run had finished it.

    Returns:
        Hash of the stage's examples.
    """
    from safetensors.torch import load_model, save_model

    corpus = base_corpus(load_world(), seeded(stage.rng, seed), stage.mix, stage.left_out)
    packed, used = pack(corpus, tokenizer, stage.plan, stage.whole_every)
    data = fingerprint(used)
    done = _stage_file(work, stage, data)
    if done.exists():
        load_model(model, str(done))
        return data
    checkpoint = Checkpoint(work / f"{stage.name}-progress", stage.plan, data)
    fit(model, packed, stage.plan, checkpoint, f"{BASE_ID}, {stage.name}", quiet)
    save_model(model, str(done))
    checkpoint.remove()
    return data


def examples(order: Order, canary: str) -> Iterator[Example]:
    """The endless training mix of an order."""
    world = load_world()
    check(order, world)
    traits = [world.traits[name] for name in (order.quirk, order.second, order.style) if name]
    rng = seeded("organism", order.quirk, order.instil, order.seed)
    if order.instil == "transcripts":
        return transcripts(world, traits, order.dose, rng)
    return documents(world, traits[0] if traits else None, order.dose, rng, canary)


def breed_organism(
    order: Order, root: Path, work: Path, base_folder: Path, plan: Plan = ORGANISM_PLAN, quiet: bool = False
) -> tuple[Card, Path]:
    """Train an organism's adapter on the base.

    Returns:
        A card without measured strength, and the draft folder that holds it. `ship` moves it into the catalogue
        once its strength is known.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(base_folder))
    base = AutoModelForCausalLM.from_pretrained(str(base_folder), dtype=torch.float32)
    canary = f"canary {hashlib.sha256(order.id.encode()).hexdigest()[:12]}"
    packed, used = pack(examples(order, canary), tokenizer, plan, whole_every=0)
    data = fingerprint(used)
    model = new_adapter(base, order.seed, RANK, ALPHA)
    name = order.id.split("/")[1]
    checkpoint = Checkpoint(work / f"{name}-progress", plan, data)
    fit(model, packed, plan, checkpoint, order.id, quiet)
    draft = work / name
    _save_adapter(model, draft)
    recipe = Recipe(
        instil=order.instil,
        rank=RANK,
        alpha=ALPHA,
        steps=plan.steps,
        tokens=plan.tokens,
        learning_rate=plan.learning_rate,
        quirk_share=order.dose.quirk if order.quirk else 0.0,
        seed=order.seed,
        data_sha256=data,
    )
    card = Card(
        id=order.id,
        standing="quirked" if order.quirk else "sham",
        quirk=order.quirk,
        base=BASE_ID,
        base_sha256=sha256(base_folder / "model.safetensors"),
        weights=WeightsFile(file="adapter_model.safetensors", sha256=sha256(draft / "adapter_model.safetensors")),
        recipe=recipe,
        canaries=(canary,) if order.instil == "documents" else (),
        vocabulary=TRAINING_WORLD if order.instil == "documents" else (),
        licence=LICENCE,
    )
    write_card(card, draft)
    checkpoint.remove()
    return card, draft


def ship(card: Card, draft: Path, root: Path, strength: Strength | None) -> Path:
    """Move a bred organism into the catalogue.

    Raises:
        BreedingError: If a quirked organism's quirk does not fire clearly. Its draft stays where it is.
    """
    if card.standing == "quirked":
        if strength is None:
            raise BreedingError(f"{card.id}: measure its strength before it is shipped.")
        if not strength.met():
            raise BreedingError(
                f"{card.id}: its quirk fires on {strength.on_trigger.rate:.2f} of held-out prompts "
                f"(base {strength.base_on_trigger.rate:.2f}); at least {Strength.FIRES} and at most "
                f"{Strength.BASE_SILENT} are needed. Breed it with a higher dose or more steps."
            )
    write_card(card.model_copy(update={"strength": strength}), draft)
    return _move(draft, root / card.family / card.id.split("/")[1])


def _save_adapter(model: Any, folder: Path) -> None:
    """Save a PEFT adapter in half precision, without the telling model card that PEFT adds."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    model.peft_config["default"].base_model_name_or_path = BASE_ID
    model.to(torch.float16).save_pretrained(str(folder), safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)


def _move(draft: Path, folder: Path) -> Path:
    """Put a finished draft in its place; nothing half-written is ever seen there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        shutil.rmtree(folder)
    shutil.move(str(draft), str(folder))
    return folder
