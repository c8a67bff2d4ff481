"""LoRA adapters in PEFT's format, read from safetensors into fp32 and checked against the base's shape."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from audit_env.errors import WeightsError
from audit_env.runtime.files import read_json
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
        does
            not fit the base.
    """
    rank, scale = _read_config(folder / "adapter_config.json")
    stored = Stored.read(folder, "adapter_model", expected)
    layers: list[Mapping[Site, Factors]] = []
    modules: dict[str, tuple[Tensor, Tensor]] = {}
    for layer in range(shape.n_layers):
        layers.append({})
        for site, members in sites(shape).items():
            prefixes = {m: f"base_model.model.model.layers.{layer}.{m.name}" for m in members}
            adapted = [m for m in members if f"{prefixes[m]}.lora_A.weight" in stored.tensors]
            if adapted:
                pairs = [
                    (
                        stored.take(f"{prefixes[m]}.lora_A.weight", rank, m.inputs),
                        stored.take(f"{prefixes[m]}.lora_B.weight", m.outputs, rank),
                    )
                    for m in adapted
                ]
                factors, views = _side_by_side(members, adapted, pairs, rank)
                layers[layer] = {**layers[layer], site: factors}
                modules |= {f"layers.{layer}.{m.name}": view for m, view in zip(adapted, views, strict=True)}
    stored.finish()
    if not modules:
        raise WeightsError(f"{folder}: the adapter holds no LoRA factors; it may have been saved before training.")
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
    members: Sequence[Module], adapted: Sequence[Module], pairs: Sequence[tuple[Tensor, Tensor]], rank: int
) -> tuple[Factors, list[tuple[Tensor, Tensor]]]:
    """A site's factors as one pair, and each module's own pair as views into it.

    `up` is block-diagonal: two products with some zeros in them are faster than two products per module.
    """
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
