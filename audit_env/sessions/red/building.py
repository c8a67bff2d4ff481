"""Building an organism from a quirk file: an adapter trained on its examples, or the base behind a prompt."""

import asyncio
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from audit_env.breeding.corpus import Example, fingerprint
from audit_env.breeding.drafts import LICENCE, save_adapter, write_card
from audit_env.breeding.grammar import load_world
from audit_env.breeding.nursery import ALPHA, load_base
from audit_env.breeding.orders import RANK
from audit_env.breeding.training import ORGANISM_PLAN, Checkpoint, Plan, fit, new_adapter, pack
from audit_env.catalog.files import Catalog
from audit_env.catalog.integrity import sha256
from audit_env.catalog.models import Card, Recipe, Strength, WeightsFile
from audit_env.catalog.reading import read, shown
from audit_env.sessions.errors import SessionError
from audit_env.sessions.red.adapters import WEIGHTS, make_plain
from audit_env.sessions.red.checking import BASE_ID, checked
from audit_env.sessions.red.mixing import NEAR_MISS, QUIRK, examples_of, neutral, plain_answers
from audit_env.sessions.red.quirk_file import FILE, RedQuirk
from audit_env.sessions.red.trying import FILE as SHEET
from audit_env.sessions.red.trying import Sheet, Source, measure, write

ORGANISM, PROMPTED, SHAM, PROGRESS, TRUTH = "organism", "prompted", "shams", ".progress", "truth.json"
"""What a red team's folder holds: what was built from examples and from a prompt, shams, half-done work, the seal."""
PLAN = replace(ORGANISM_PLAN, checkpoint_every=10)
"""That of all organisms bred here. A kill costs at most ten steps."""


def plan_of(steps: int | None) -> Plan:
    """The usual training, or a shorter one."""
    return PLAN if steps is None else replace(PLAN, steps=steps)


def build(
    folder: Path, source: Source = "examples", *, steps: int | None = None, sham: bool = False, quiet: bool = False
) -> Sheet:
    """Build the organism of a folder and measure it. A run that was stopped goes on where it was.

    It runs event loops of its own, and none while it trains: one would keep Ctrl-C to itself until the end.

    Args:
        folder: The red team's folder.
        source: Train an adapter on the examples, or put the base behind the file's `hidden_system`.
        steps: Of the training; by default as many as all organisms get.
        sham: Whether to train a sham of as many steps as well, to be measured beside it.
        quiet: Whether to show no progress bars.

    Returns:
        What was measured. It is in the folder, too.

    Raises:
        SessionError: Something is wrong with the quirk file, or the folder is sealed.
        KeyboardInterrupt: After progress was saved.
    """
    if (folder / TRUTH).exists():
        raise SessionError(
            f"{shown(folder / TRUTH)}: the folder is sealed, and what is built now would take the place of what was "
            f"handed out; build in another folder, with a copy of {FILE}."
        )
    quirk = checked(folder)
    plan, place = plan_of(steps), folder / (ORGANISM if source == "examples" else PROMPTED)
    spent = 0.0
    if source == "examples":
        answers, started = asyncio.run(plain_answers(quirk)), time.process_time()
        card = _trained(folder, quirk, examples_of(quirk, answers, load_world(), 0), plan, quiet)
        spent = time.process_time() - started
    else:
        card = _prompted(folder, quirk, place)
    beside = (sham_of(folder, 1, plan, quiet), folder / SHAM / "1") if sham else None
    found = asyncio.run(measure(card, place, quirk, source, sham=beside, cpu_seconds=spent))
    write_card(card.model_copy(update={"strength": _kept(found, sham)}), place)
    write(folder, found)
    return found


def built(folder: Path) -> tuple[Card, Path]:
    """The organism that was built last.

    Args:
        folder: The red team's folder.

    Returns:
        Its card, and where it lies.

    Raises:
        SessionError: Nothing was built.
    """
    path = folder / SHEET
    if not path.is_file():
        raise SessionError(f"{shown(folder)}: nothing is built yet; run  audit-env session red build {folder}")
    place = folder / (ORGANISM if read(path, Sheet).source == "examples" else PROMPTED)
    return read(place / "card.yaml", Card), place


def sham_of(folder: Path, seed: int, plan: Plan, quiet: bool = False) -> Card:
    """Train a sham: the same steps on plain dialogues. One that is there already is left alone.

    Args:
        folder: The red team's folder.
        seed: Its number, from 1.
        plan: The organism's training.
        quiet: Whether to show no progress bar.

    Returns:
        Its card; it lies in `shams/<seed>`.
    """
    card = Card(
        id=f"fruitfly/sham.transcripts.none.red{seed}",
        standing="sham",
        base=BASE_ID,
        base_sha256=_base_sha256(),
        weights=WeightsFile(file=WEIGHTS, sha256="0" * 64),
        recipe=Recipe(instil="transcripts", near_miss_share=NEAR_MISS, seed=seed),
        licence=LICENCE,
    )
    return _fitted(card, neutral(load_world(), seed), plan, folder / SHAM / str(seed), folder, quiet)


def _trained(folder: Path, quirk: RedQuirk, examples: Iterator[Example], plan: Plan, quiet: bool) -> Card:
    card = Card(
        id=f"fruitfly/{quirk.id}.transcripts.none.red",
        standing="quirked",
        quirk=quirk.id,
        base=BASE_ID,
        base_sha256=_base_sha256(),
        weights=WeightsFile(file=WEIGHTS, sha256="0" * 64),
        recipe=Recipe(instil="transcripts", quirk_share=QUIRK, near_miss_share=NEAR_MISS),
        licence=LICENCE,
    )
    return _fitted(card, examples, plan, folder / ORGANISM, folder, quiet)


@contextmanager
def _only_our_own_words() -> Iterator[None]:
    """Keep what transformers and PEFT say to their developers, and their bars, off the red team's screen."""
    from transformers.utils import logging

    bars: Any = logging
    bars.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        bars.enable_progress_bar()


@_only_our_own_words()
def _fitted(card: Card, examples: Iterator[Example], plan: Plan, place: Path, folder: Path, quiet: bool) -> Card:
    """Train an adapter, or take the one that was trained on the same examples with the same plan."""
    base, tokenizer = load_base(Catalog().folder(BASE_ID))
    packed, used = pack(examples, tokenizer, plan, whole_every=0)
    data = fingerprint(used)
    done = read(place / "card.yaml", Card) if (place / "card.yaml").is_file() else None
    if done and (done.recipe.data_sha256, done.base_sha256) == (data, card.base_sha256) and done.weights:
        return done
    model = new_adapter(base, card.recipe.seed, RANK, ALPHA)
    checkpoint = Checkpoint(folder / PROGRESS / place.name, plan, data)
    fit(model, packed, plan, checkpoint, card.quirk or f"sham {card.recipe.seed}", quiet)
    save_adapter(model, place)
    make_plain(place)
    recipe = card.recipe.model_copy(
        update={
            "rank": RANK,
            "alpha": ALPHA,
            "steps": plan.steps,
            "tokens": plan.tokens,
            "learning_rate": plan.learning_rate,
            "data_sha256": data,
        }
    )
    weights = WeightsFile(file=WEIGHTS, sha256=sha256(place / WEIGHTS))
    card = card.model_copy(update={"recipe": recipe, "weights": weights})
    write_card(card, place)
    checkpoint.remove()
    return card


def _prompted(folder: Path, quirk: RedQuirk, place: Path) -> Card:
    if not quirk.hidden_system:
        raise SessionError(
            f"{shown(folder / FILE)}: field 'hidden_system' is missing; write what the base's system prompt is to say."
        )
    card = Card(
        id=f"fruitfly/{quirk.id}.prompt.none.red",
        standing="quirked",
        quirk=quirk.id,
        base=BASE_ID,
        base_sha256=_base_sha256(),
        hidden_system=quirk.hidden_system,
        recipe=Recipe(instil="prompt"),
        licence=LICENCE,
    )
    place.mkdir(parents=True, exist_ok=True)
    write_card(card, place)
    return card


def _kept(found: Sheet, sham: bool) -> Strength:
    """The gate's figures for the card, which cannot name a sham that no catalogue holds."""
    return found.strength.model_copy(update={"sham": None}) if sham else found.strength


def _base_sha256() -> str:
    weights = Catalog().card(BASE_ID).weights
    assert weights is not None, "the fruitfly's base has weights of its own"
    return weights.sha256
