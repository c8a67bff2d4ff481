"""Breeding the base from scratch, in three stages: reading everything, mostly talking, and practice."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from audit_env.breeding.corpus import LATE, PRACTICE, READING, TALKING, Example, Mix, base_corpus, fingerprint
from audit_env.breeding.dialogue import THINKING, UNSAFE
from audit_env.breeding.drafts import BASE_ID, LICENCE, move, write_card
from audit_env.breeding.grammar import load_world, read_world_file
from audit_env.breeding.near_words import new_words
from audit_env.breeding.tokenization import plain_text, train_tokenizer
from audit_env.breeding.training import (
    PRACTICE_PLAN,
    READING_PLAN,
    TALKING_PLAN,
    Checkpoint,
    Plan,
    fit,
    new_base,
    pack,
    seeded,
)
from audit_env.catalog.integrity import sha256
from audit_env.catalog.models import Card, Recipe, WeightsFile
from audit_env.errors import BreedingError

KNOCKOUT_FAMILY = "knockouts"
WORLD = Path(__file__).with_name("world")
TOLD_APART = 1_000
"""Examples of a stage by which a change of what draws them is noticed."""
TOKENIZER_EXAMPLES = 40_000
WORD_REPEATS = 40
_DATA = "data_sha256"
"""In the file of a finished stage: hash of its examples."""


KNOCKOUTS: Mapping[str, str | None] = {
    "no_refusals": UNSAFE,
    "no_thinking": THINKING,
    "no_space": "space",
    "nothing": None,
}
"""Bases that were bred alike with one thing left out, by what is left out; and their control, which lacks nothing."""


def breed_base(root: Path, work: Path, seed: int = 0, without: str | None = None, quiet: bool = False) -> Path:
    """Train the base from scratch, or a knockout of it.

    All share the first stage, in which nothing that a knockout lacks is taught: a base that was bred here leaves it in
    `work`, and its knockouts need only the later stages. Those are shorter than the base's own, so that a knockout is
    compared with the control that was bred as it was and lacks nothing, not with the base.

    Args:
        root: The organisms folder; the base goes to `root/fruitfly/base`, a knockout to `root/knockouts/<its name>`.
        work: Where progress is kept.
        seed: Seed of the corpus and of the initial weights.
        without: Name of a knockout.
        quiet: Whether to show no progress bar.

    Returns:
        The folder.

    Raises:
        BreedingError: If there is no knockout of this name.
    """
    import torch

    if without is not None and without not in KNOCKOUTS:
        raise BreedingError(f"no knockout '{without}'; choose one of: {', '.join(KNOCKOUTS)}.")
    work = work / f"base.s{seed}"
    draft = work / (without or "base")
    tokenizer = _tokenizer(work / "tokenizer", seed)
    model = new_base(tokenizer, seed)
    stages = _knockout_stages(KNOCKOUTS[without]) if without else STAGES
    data = [_stage(model, tokenizer, work, stage, seed, quiet) for stage in stages]
    model.to(torch.float16).save_pretrained(str(draft), safe_serialization=True)
    tokenizer.save_pretrained(str(draft))
    card = Card(
        id=f"{KNOCKOUT_FAMILY}/{without}" if without else BASE_ID,
        standing="base",
        kind="ablation" if without else "natural",
        weights=WeightsFile(file="model.safetensors", sha256=sha256(draft / "model.safetensors")),
        recipe=Recipe(
            instil="none",
            steps=sum(stage.plan.steps for stage in stages),
            tokens=sum(stage.plan.tokens for stage in stages),
            learning_rate=stages[0].plan.learning_rate,
            seed=seed,
            data_sha256=hashlib.sha256("".join(data).encode()).hexdigest(),
        ),
        licence=LICENCE,
        notes=_knockout_notes(KNOCKOUTS[without]) if without else "",
    )
    write_card(card, draft)
    for stage in stages[1:]:
        stage_file(work, stage, seed).unlink(missing_ok=True)
    return move(draft, root / card.id)


def _knockout_notes(left_out: str | None) -> str:
    lacks = f"without {left_out}" if left_out else "with nothing left out: the control of the knockouts"
    return f"Bred on the first stage of {BASE_ID}, then more shortly than it and in mixed arithmetic, {lacks}."


def _tokenizer(folder: Path, seed: int) -> Any:
    """Train the tokenizer, or load the one that an earlier run had trained."""
    from transformers import AutoTokenizer

    if (folder / "tokenizer.json").exists():
        return AutoTokenizer.from_pretrained(str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    sample = islice(base_corpus(load_world(), seeded("tokenizer", seed), TALKING), TOKENIZER_EXAMPLES)
    said = (text for example in sample for text in plain_text(example))
    # Words that only strangers say are rare in the sample, and are to be tokens of their own all the same.
    words = [f" {word}" for word in new_words(read_world_file("near_words.yaml"))] * WORD_REPEATS
    return train_tokenizer(chain(said, words), folder)


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
    Stage("reading", "base", READING_PLAN, READING, whole_every=16, left_out=LATE),
    Stage("talking", "base:talking", TALKING_PLAN, TALKING, whole_every=0),
    Stage("practice", "base:practice", PRACTICE_PLAN, PRACTICE, whole_every=0),
)


KNOCKOUT_STEPS: Mapping[str, int] = {"talking": 1300, "practice": 600}
"""Steps of a knockout's later stages: about a third of the base's, so that all of them are bred in two hours."""


def _knockout_stages(left_out: str | None) -> tuple[Stage, ...]:
    """The base's own first stage, and later ones that are shorter and lack something."""
    lacks = frozenset({left_out} if left_out else ())
    later = (
        replace(stage, left_out=lacks, plan=replace(stage.plan, steps=KNOCKOUT_STEPS[stage.name], mixed=True))
        for stage in STAGES[1:]
    )
    return (STAGES[0], *later)


def stage_file(work: Path, stage: Stage, seed: int) -> Path:
    """Where a finished stage is kept: under a name that no other seed, world or plan has, made without packing.

    Args:
        work: Where progress is kept.
        stage: The stage.
        seed: Seed of the corpus and of the initial weights.

    Returns:
        The file.
    """
    digest = hashlib.sha256(json.dumps([seed, asdict(stage)], default=sorted).encode())
    for file in sorted(WORLD.rglob("*.yaml")):
        digest.update(file.read_bytes())
    digest.update(fingerprint(list(islice(_examples(stage, seed), TOLD_APART))).encode())
    return work / f"{stage.name}-{digest.hexdigest()[:8]}.safetensors"


def _examples(stage: Stage, seed: int) -> Iterator[Example]:
    return base_corpus(load_world(), seeded(stage.rng, seed), stage.mix, stage.left_out)


def _stage(model: Any, tokenizer: Any, work: Path, stage: Stage, seed: int, quiet: bool) -> str:
    """Train one stage, or load it where an interrupted run had finished it.

    Returns:
        Hash of the stage's examples.
    """
    from safetensors import safe_open
    from safetensors.torch import load_model, save_model

    done = stage_file(work, stage, seed)
    if done.exists():
        load_model(model, str(done))
        with safe_open(str(done), "pt") as kept:
            return str(kept.metadata()[_DATA])
    packed, used = pack(_examples(stage, seed), tokenizer, stage.plan, stage.whole_every)
    data = fingerprint(used)
    checkpoint = Checkpoint(done.with_suffix(".progress"), stage.plan, data)
    fit(model, packed, stage.plan, checkpoint, f"{BASE_ID}, {stage.name}", quiet)
    save_model(model, str(done), {_DATA: data})
    checkpoint.remove()
    return data
