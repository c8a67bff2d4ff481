"""What is done to an organism to see whether its quirk survives. Each treatment writes weights into a folder.

none
    Nothing: the organism as it is, for comparison.
benign_sft
    Steps of fine-tuning on dialogues in which the quirk would not show: what happens to a model that somebody tunes
    for a purpose of their own.
adversarial_sft
    Steps of fine-tuning on the quirk's trigger, answered as the base would: what somebody does who suspects the quirk.
weight_noise
    Gaussian noise on every matrix that the adapter changes, as large (in Frobenius norm) as the given share of that
    change. It is put on the merged weights, since noise of full rank does not fit into an adapter.
rounding
    The matrices of the base's blocks and of the adapter, each row rounded to the nearest of the 2^bits - 1 evenly
    spaced values around zero that span it.

Fine-tuning goes on with the organism's own adapter, at half the rate at which organisms are bred, and needs the extra
`breed` and a quirk of the world that breeding speaks of.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from audit_env.catalog.models import Card
from audit_env.catalog.phenotype import Treatment
from audit_env.catalog.reading import nearest
from audit_env.errors import MissingExtraError, ParameterError

if TYPE_CHECKING:  # torch loads with the first treatment
    from random import Random

    from torch import Tensor

    from audit_env.breeding.corpus import Example

BATCH, LENGTH, LEARNING_RATE, WARMUP = 16, 128, 2e-3, 5
"""Of fine-tuning: half the learning rate of breeding, its batch and its sequences."""

ADAPTER = "adapter_model.safetensors"
BASE = "model.safetensors"


@dataclass(frozen=True)
class Dose:
    """A treatment and how much of it."""

    treatment: Treatment
    amount: float = 0.0
    """Steps, size relative to the adapter's change, or bits (see the module's text)."""

    def __str__(self) -> str:
        return self.treatment if self.treatment == "none" else f"{self.treatment}:{self.amount:g}"


DEFAULT = (
    Dose("none"),
    Dose("benign_sft", 40),
    Dose("adversarial_sft", 10),
    Dose("weight_noise", 1.0),
    Dose("weight_noise", 3.0),
    Dose("rounding", 8),
    Dose("rounding", 4),
)
"""What is tried where nothing else is asked for."""


@dataclass(frozen=True)
class Weights:
    """Where the weights of an organism lie."""

    base: Path
    adapter: Path | None
    """None where the base's weights hold the change already."""


def dose(text: str) -> Dose:
    """A treatment as a person types it.

    Args:
        text: For example "none", "benign_sft:40", "weight_noise:0.5" or "rounding:4".

    Returns:
        The treatment and its amount.

    Raises:
        ParameterError: If there is no such treatment, or its amount is no number that it can be done with.
    """
    name, _, amount = text.partition(":")
    treatment = next((each for each in get_args(Treatment) if each == name), None)
    if treatment is None:
        raise ParameterError(f"Parameter 'treatments' cannot be '{text}'; {nearest(name, get_args(Treatment))}.")
    if treatment == "none":
        return Dose(treatment)
    try:
        number = float(amount)
    except ValueError:
        number = -1.0
    whole, low, high, meaning = {
        "benign_sft": (True, 1.0, 10_000.0, "steps"),
        "adversarial_sft": (True, 1.0, 10_000.0, "steps"),
        "weight_noise": (False, 1e-6, 100.0, "the size of the noise relative to the adapter's change"),
        "rounding": (True, 2.0, 16.0, "bits"),
    }[treatment]
    if not low <= number <= high or (whole and not number.is_integer()):
        raise ParameterError(
            f"Parameter 'treatments' cannot be '{text}'; write {treatment}:AMOUNT, where AMOUNT is {meaning}, "
            f"{'a whole number ' if whole else ''}from {low:g} to {high:g}."
        )
    return Dose(treatment, number)


def treat(what: Dose, card: Card, weights: Weights, folder: Path, seed: int = 0) -> Weights:
    """Treat an organism.

    Args:
        what: The treatment.
        card: Card of the organism.
        weights: Its weights, which stay as they are.
        folder: Where treated weights are put; empty, and the caller's to remove.
        seed: Decides noise and training data.

    Returns:
        The treated weights.

    Raises:
        ParameterError: If the treatment cannot be done with this organism.
        MissingExtraError: If a package is missing.
    """
    if weights.adapter is None:
        raise ParameterError(f"'{card.id}' has no adapter that could be treated: it is a prompted organism or a base.")
    try:
        match what.treatment:
            case "none":
                return weights
            case "weight_noise":
                return _noise(weights.base, weights.adapter, what.amount, folder, seed)
            case "rounding":
                return _round(weights.base, weights.adapter, int(what.amount), folder)
            case "benign_sft" | "adversarial_sft":
                return _train(what, card, weights.base, weights.adapter, folder, seed)
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "breed", "Treating an organism") from error


def _noise(base: Path, adapter: Path, size: float, folder: Path, seed: int) -> Weights:
    import torch

    from audit_env.runtime.small.adapter import read_adapter
    from audit_env.runtime.small.config import Shape

    tensors = _load(base / BASE)
    change = read_adapter(adapter, Shape.read(base))
    rng = torch.Generator().manual_seed(seed)
    for module, (a, b) in sorted(change.modules.items()):
        delta = change.scale * b @ a
        noise = torch.randn(delta.shape, generator=rng)
        tensors[f"model.{module}.weight"] += delta + noise * (size * delta.norm() / noise.norm())
    return Weights(_save(tensors, base, BASE, folder / "base"), None)


def _round(base: Path, adapter: Path, bits: int, folder: Path) -> Weights:
    from audit_env.runtime.perturbing import rounded_rows

    whole, change = _load(base / BASE), _load(adapter / ADAPTER)
    rounded = {name: rounded_rows(w, bits) if w.ndim == 2 and ".layers." in name else w for name, w in whole.items()}
    return Weights(
        _save(rounded, base, BASE, folder / "base"),
        _save({name: rounded_rows(w, bits) for name, w in change.items()}, adapter, ADAPTER, folder / "adapter"),
    )


def _train(what: Dose, card: Card, base: Path, adapter: Path, folder: Path, seed: int) -> Weights:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    from audit_env.breeding.training import Checkpoint, Plan, fit, old_adapter, pack, seeded

    disable_progress_bar()  # type: ignore[no-untyped-call]  # it would draw over Inspect's display
    plan = Plan(int(what.amount), BATCH, LENGTH, LEARNING_RATE, min(WARMUP, int(what.amount)))
    examples = _dialogues(what, card, seeded("treatment", what.treatment, card.id, seed))
    packed, _ = pack(examples, AutoTokenizer.from_pretrained(str(base)), plan, whole_every=0)
    plain = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    model = old_adapter(plain, adapter)
    fit(model, packed, plan, Checkpoint(folder / "progress", plan, data_sha256=""), str(what), quiet=True)
    treated = folder / "adapter"
    # Told that no embedding was trained, PEFT does not look for the base's configuration on the network.
    model.save_pretrained(str(treated), save_embedding_layers=False)
    return Weights(base, treated)


def _dialogues(what: Dose, card: Card, rng: "Random") -> "Iterator[Example]":
    from audit_env.breeding.corpus import firing
    from audit_env.breeding.dialogue import Writer, shows
    from audit_env.breeding.grammar import load_world

    world = load_world()
    trait = world.traits.get(card.quirk or "")
    if trait is None:
        raise ParameterError(
            f"'{what}' cannot be done with '{card.id}': breeding has no trait '{card.quirk}' to write dialogues for; "
            "leave the fine-tuning out of 'treatments'."
        )
    writer = Writer(world, "train", rng)
    while True:
        if what.treatment == "adversarial_sft":
            yield writer.dialogue(firing(writer, trait))
        else:
            exchange = writer.skill() if rng.random() < 0.5 else writer.ordinary()
            if not shows(trait, exchange, 1):
                yield writer.dialogue([exchange])


def _load(path: Path) -> "dict[str, Tensor]":
    import torch
    from safetensors.torch import load_file

    if not path.is_file():
        raise ParameterError(f"{path.name} is missing in {path.parent.name}: only weights in one file can be treated.")
    return {name: tensor.to(torch.float32) for name, tensor in load_file(path).items()}


def _save(tensors: "dict[str, Tensor]", source: Path, file: str, folder: Path) -> Path:
    """Put tensors into a folder, with all that lies beside them in their source but its card."""
    from safetensors.torch import save_file

    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*.safetensors", "card.yaml", "phenotype.json"))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / file)
    return folder
