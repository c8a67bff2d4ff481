"""LoRA adapters in PEFT's format, read from safetensors and checked against the base's shape.

Hundreds may be in memory, of which few compute at a time. So an adapter at rest is as small as its file, and what
computes is made of it in fp32 when it is opened, and kept for as long as somebody computes with it.
"""

import weakref
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from sys import intern
from typing import NamedTuple

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
class Stacks:
    """What an adapter computes with, fp32."""

    layers: tuple[Mapping[Site, Factors], ...]


class Extent(NamedTuple):
    """The factors of one module, as they lie behind each other."""

    module: str
    """E.g. `layers.0.self_attn.q_proj`."""
    rank: int
    inputs: int
    outputs: int


class Packed:
    """Factors at rest."""

    def __init__(self, shape: Shape, extents: Sequence[Extent], numbers: Tensor) -> None:
        """Keep factors.

        Args:
            shape: Shape of the base.
            extents: The modules.
            numbers: A and B of each, flat and behind each other, in the precision of the file.
        """
        self._shape, self._extents, self._numbers = shape, tuple(extents), numbers
        self._stacks: weakref.ref[Stacks] | None = None

    def modules(self) -> dict[str, tuple[Tensor, Tensor]]:
        """A `[rank, in]` and B `[out, rank]` by module, fp32."""
        sizes = [size for one in self._extents for size in (one.rank * one.inputs, one.outputs * one.rank)]
        parts = iter(self._numbers.float().split_with_sizes(sizes))
        return {
            one.module: (next(parts).view(one.rank, one.inputs), next(parts).view(one.outputs, one.rank))
            for one in self._extents
        }

    def open(self) -> Stacks:
        """What computes, made anew where nobody has it any more."""
        stacks = self._stacks() if self._stacks else None
        if stacks is None:
            with torch.inference_mode(False):  # gradients may be asked for later
                stacks = Stacks(_side_by_side_by_layer(self._shape, self.modules()))
            self._stacks = weakref.ref(stacks)
            _recent.append(stacks)
        return stacks


RECENT = 8
"""Adapters that stay open though nobody computes with them."""

_recent: deque[Stacks] = deque(maxlen=RECENT)


@dataclass(frozen=True, eq=False)
class Adapter:
    """A LoRA adapter. Two adapters are the same only if they are one object."""

    scale: float
    packed: Packed

    @property
    def modules(self) -> Mapping[str, tuple[Tensor, Tensor]]:
        """A `[rank, in]` and B `[out, rank]` by module, fp32, e.g. of `layers.0.self_attn.q_proj`."""
        return self.packed.modules()

    def open(self) -> Stacks:
        """What it computes with. Hold on to it while computing: it is not kept for long."""
        return self.packed.open()


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
    precisions = {tensor.dtype for tensor in stored.tensors.values()}
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
    halves = len(precisions) == 1 and precisions <= {torch.float16, torch.bfloat16}
    return assembled(shape, scale, pairs, precisions.pop() if halves else torch.float32)


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
    return assembled(shape, adapter.scale, pairs)


def assembled(
    shape: Shape, scale: float, pairs: Mapping[str, tuple[Tensor, Tensor]], dtype: torch.dtype = torch.float32
) -> Adapter:
    """Put an adapter together.

    Args:
        shape: Shape of the base.
        scale: What the product of the factors is multiplied by.
        pairs: Factors A `[rank, in]` and B `[out, rank]` by module.
        dtype: Precision that they are kept in; what it cannot hold is lost.

    Returns:
        The adapter.
    """
    extents = [Extent(intern(name), len(a), a.shape[1], len(b)) for name, (a, b) in pairs.items()]
    numbers = torch.cat([factor.flatten() for factor in chain.from_iterable(pairs.values())]).to(dtype)
    return Adapter(scale, Packed(shape, extents, numbers))


def _side_by_side_by_layer(
    shape: Shape, pairs: Mapping[str, tuple[Tensor, Tensor]]
) -> tuple[Mapping[Site, Factors], ...]:
    layers: list[Mapping[Site, Factors]] = []
    for layer in range(shape.n_layers):
        found: dict[Site, Factors] = {}
        for site, members in sites(shape).items():
            names = {member: f"layers.{layer}.{member.name}" for member in members}
            adapted = [member for member in members if names[member] in pairs]
            if adapted:
                found[site] = _side_by_side(members, adapted, [pairs[names[member]] for member in adapted])
        layers.append(found)
    return tuple(layers)


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
) -> Factors:
    """A site's factors as one pair.

    `up` is block-diagonal: two products with some zeros in them are faster than two products per module.
    """
    rank = len(pairs[0][0])
    down = torch.cat([a for a, _ in pairs]).t().contiguous()
    up = torch.zeros(rank * len(adapted), sum(m.outputs for m in members))
    starts = {m: sum(before.outputs for before in members[: members.index(m)]) for m in members}
    for number, (module, (_, b)) in enumerate(zip(adapted, pairs, strict=True)):
        up[number * rank : (number + 1) * rank, starts[module] : starts[module] + module.outputs] = b.t()
    return Factors(down, up)
