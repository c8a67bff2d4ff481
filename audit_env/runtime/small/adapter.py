"""LoRA adapters in PEFT's format, read from safetensors into fp32 and checked against the base's shape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor

from audit_env.errors import WeightsError
from audit_env.runtime.files import read_json
from audit_env.runtime.lowrank import truncated
from audit_env.runtime.small.config import Shape
from audit_env.runtime.small.weights import Module, Site, Stored, sites

PLAIN_LORA: Mapping[str, object] = {
    "peft_type": "LORA",
    "bias": "none",
    "use_dora": False,
    "lora_bias": False,
    "fan_in_fan_out": False,
    "modules_to_save": None,
    "rank_pattern": None,
    "alpha_pattern": None,
    "layer_replication": None,
    "trainable_token_indices": None,
}
"""Fields of `adapter_config.json`, and the only value of each that this engine computes (or an empty one)."""


@dataclass(frozen=True)
class Factors:
    """The low-rank update of one site: x -> scale * (x @ down) @ up, its modules side by side."""

    down: Tensor
    """`[in, rank * modules]`"""
    up: Tensor
    """`[rank * modules, out]`: one block per module, zero elsewhere"""


@dataclass(frozen=True, eq=False)
class Adapter:
    """A LoRA adapter, fp32. Two adapters are the same only if they are one object."""

    scale: float
    layers: tuple[Mapping[Site, Factors], ...]
    modules: Mapping[str, tuple[Tensor, Tensor]]
    """A `[rank, in]` and B `[out, rank]` by module, e.g. `layers.0.self_attn.q_proj`: views into `layers`."""


def read_adapter(folder: Path, shape: Shape, expected: str | None = None) -> Adapter:
    """Read an adapter.

    Args:
        folder: A PEFT folder with `adapter_config.json` and `adapter_model.safetensors`.
        shape: Shape of the base that it must fit.
        expected: SHA-256 that the weights file must have; None to take it as it is.

    Returns:
        The adapter.

    Raises:
        WeightsError: If it is missing, pickled, altered, of a form that this engine does not compute, not finite, or
            does not fit the base.
    """
    rank, scale = _read_config(folder / "adapter_config.json")
    stored = Stored.read(folder, "adapter_model", expected)
    pairs: dict[str, tuple[Tensor, Tensor]] = {}
    for layer in range(shape.n_layers):
        for module in chain.from_iterable(sites(shape).values()):
            name = f"layers.{layer}.{module.name}"
            factors = f"base_model.model.model.{name}.lora_"
            if f"{factors}A.weight" in stored.tensors:
                pairs[name] = (
                    stored.take(f"{factors}A.weight", rank, module.inputs),
                    stored.take(f"{factors}B.weight", module.outputs, rank),
                )
    stored.finish()
    if not pairs:
        raise WeightsError(f"{folder}: the adapter holds no LoRA factors; it may have been saved before training.")
    return _assembled(shape, scale, pairs)


def truncate_adapter(adapter: Adapter, shape: Shape, rank: int) -> Adapter:
    """An adapter's largest singular directions.

    Args:
        adapter: The adapter.
        shape: Shape of the base.
        rank: How many are left of each update.

    Returns:
        An adapter of this rank; the given one where it has no more.
    """
    if all(len(a) <= rank for a, _ in adapter.modules.values()):
        return adapter
    pairs = {name: truncated(a, b, rank) for name, (a, b) in adapter.modules.items()}
    return _assembled(shape, adapter.scale, pairs)


def _assembled(shape: Shape, scale: float, pairs: Mapping[str, tuple[Tensor, Tensor]]) -> Adapter:
    """An adapter of the factors A `[rank, in]` and B `[out, rank]` by module."""
    layers: list[Mapping[Site, Factors]] = []
    modules: dict[str, tuple[Tensor, Tensor]] = {}
    for layer in range(shape.n_layers):
        layers.append({})
        for site, members in sites(shape).items():
            names = {member: f"layers.{layer}.{member.name}" for member in members}
            adapted = [member for member in members if names[member] in pairs]
            if adapted:
                factors, views = _side_by_side(members, adapted, [pairs[names[member]] for member in adapted])
                layers[layer] = {**layers[layer], site: factors}
                modules |= {names[member]: view for member, view in zip(adapted, views, strict=True)}
    return Adapter(scale, tuple(layers), modules)


def _read_config(path: Path) -> tuple[int, float]:
    """Rank and scale, from a configuration that means plain LoRA and nothing else."""
    config = read_json(path)
    for field, plain in PLAIN_LORA.items():
        if (config.get(field, plain) or None) != (plain or None):
            raise WeightsError(
                f"{path}: field '{field}' is {config[field]!r}, which the small engine does not compute."
            )
    try:
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
    except KeyError as error:
        raise WeightsError(f"{path}: field {error} is missing.") from error
    # Rank-stabilised LoRA divides by the root of the rank (Kalajdzievski, 2023, arXiv 2312.03732).
    return rank, alpha / (rank**0.5 if config.get("use_rslora") else rank)


def _side_by_side(
    members: Sequence[Module], adapted: Sequence[Module], pairs: Sequence[tuple[Tensor, Tensor]]
) -> tuple[Factors, list[tuple[Tensor, Tensor]]]:
    """A site's factors as one pair, and each module's own pair as views into it.

    `up` is block-diagonal: two products with some zeros in them are faster than two products per module.
    """
    rank = len(pairs[0][0])
    down = torch.cat([a for a, _ in pairs]).t().contiguous()
    up = torch.zeros(rank * len(adapted), sum(m.outputs for m in members))
    starts = {m: sum(before.outputs for before in members[: members.index(m)]) for m in members}
    views: list[tuple[Tensor, Tensor]] = []
    for number, (module, (_, b)) in enumerate(zip(adapted, pairs, strict=True)):
        ranks = slice(number * rank, (number + 1) * rank)
        block = up[ranks, starts[module] : starts[module] + module.outputs]
        block.copy_(b.t())
        views.append((down[:, ranks].t(), block.t()))
    return Factors(down, up), views
