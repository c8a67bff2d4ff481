"""Weights of a Llama-architecture base, read from safetensors into fp32 and checked against the shape."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from audit_env.catalog.integrity import refuse_pickles, sha256
from audit_env.errors import WeightsError
from audit_env.runtime.files import read_json
from audit_env.runtime.small.config import Shape

Site = Literal["qkv", "o", "gate_up", "down"]
"""A linear map of a block as this engine computes it: maps that read the same input are one matrix."""


class Module(NamedTuple):
    """A linear map as it is named on disk."""

    name: str
    """Within its layer, e.g. `self_attn.q_proj`."""
    inputs: int
    outputs: int


def sites(shape: Shape) -> Mapping[Site, tuple[Module, ...]]:
    """The modules of each site, in the order of its output."""
    queries, keys = shape.n_heads * shape.d_head, shape.n_kv_heads * shape.d_head
    return {
        "qkv": (
            Module("self_attn.q_proj", shape.d_model, queries),
            Module("self_attn.k_proj", shape.d_model, keys),
            Module("self_attn.v_proj", shape.d_model, keys),
        ),
        "o": (Module("self_attn.o_proj", queries, shape.d_model),),
        "gate_up": (
            Module("mlp.gate_proj", shape.d_model, shape.d_mlp),
            Module("mlp.up_proj", shape.d_model, shape.d_mlp),
        ),
        "down": (Module("mlp.down_proj", shape.d_mlp, shape.d_model),),
    }


@dataclass(frozen=True)
class Block:
    """Weights of one block."""

    attention_norm: Tensor
    """`[d_model]`"""
    mlp_norm: Tensor
    """`[d_model]`"""
    linear: Mapping[Site, Tensor]
    """`[out, in]` by site"""


@dataclass(frozen=True)
class Weights:
    """Weights of a model, fp32."""

    embedding: Tensor
    """`[vocab, d_model]`"""
    blocks: tuple[Block, ...]
    final_norm: Tensor
    """`[d_model]`"""
    unembedding: Tensor
    """`[vocab, d_model]`; the embedding itself where they are tied"""


def read_weights(folder: Path, shape: Shape, expected: str | None = None) -> Weights:
    """Read a base.

    Args:
        folder: A Hugging Face model folder with safetensors weights, whole or in shards.
        shape: The model's shape.
        expected: SHA-256 that `model.safetensors` must have; None to take it as it is.

    Returns:
        The weights in fp32, whatever they are on disk.

    Raises:
        WeightsError: If weights are missing, pickled, altered, misshapen, superfluous or not finite.
    """
    stored = Stored.read(folder, "model", expected)

    def block(layer: int) -> Block:
        prefix = f"model.layers.{layer}"
        return Block(
            attention_norm=stored.take(f"{prefix}.input_layernorm.weight", shape.d_model),
            mlp_norm=stored.take(f"{prefix}.post_attention_layernorm.weight", shape.d_model),
            linear={
                site: torch.cat([stored.take(f"{prefix}.{m.name}.weight", m.outputs, m.inputs) for m in modules])
                for site, modules in sites(shape).items()
            },
        )

    embedding = stored.take("model.embed_tokens.weight", shape.vocab_size, shape.d_model)
    if shape.tied:
        stored.tensors.pop("lm_head.weight", None)
    weights = Weights(
        embedding=embedding,
        blocks=tuple(block(layer) for layer in range(shape.n_layers)),
        final_norm=stored.take("model.norm.weight", shape.d_model),
        unembedding=embedding if shape.tied else stored.take("lm_head.weight", shape.vocab_size, shape.d_model),
    )
    stored.finish()
    return weights


@dataclass(frozen=True)
class Stored:
    """Tensors of a folder, taken out one by one, so that what is left over is known."""

    folder: Path
    tensors: dict[str, Tensor]

    @classmethod
    def read(cls, folder: Path, stem: str, expected: str | None) -> "Stored":
        """Read `<stem>.safetensors`, or the shards that `<stem>.safetensors.index.json` names.

        Args:
            folder: Where the files are.
            stem: "model" or "adapter_model".
            expected: SHA-256 that a whole file must have; None to take it as it is.

        Returns:
            All tensors, as they are on disk.

        Raises:
            WeightsError: If a file is missing, pickled, altered or damaged.
        """
        whole = folder / f"{stem}.safetensors"
        index = folder / f"{stem}.safetensors.index.json"
        refuse_pickles(folder)
        if whole.is_file() and expected is not None and sha256(whole) != expected:
            raise WeightsError(f"{whole}: the SHA-256 is not the one on the card; restore the file or breed it again.")
        shards: Iterable[Path] = [whole]
        if not whole.is_file() and index.is_file():
            shards = [folder / name for name in sorted(set(read_json(index)["weight_map"].values()))]
        tensors: dict[str, Tensor] = {}
        for path in shards:
            if not path.is_file():
                raise WeightsError(f"{path} is missing: give a complete folder with safetensors weights.")
            try:
                tensors |= load_file(path)
            except SafetensorError as error:
                raise WeightsError(f"{path} is not a readable safetensors file: {error}.") from error
        return cls(folder, tensors)

    def take(self, name: str, *size: int) -> Tensor:
        """Take a tensor out, in fp32.

        Args:
            name: Its name on disk.
            *size: The size it must have.

        Returns:
            The tensor.

        Raises:
            WeightsError: If it is missing, of another size, or not finite.
        """
        tensor = self.tensors.pop(name, None)
        if tensor is None:
            raise WeightsError(f"{self.folder}: tensor '{name}' is missing; the weights do not fit the model.")
        if tuple(tensor.shape) != size:
            raise WeightsError(
                f"{self.folder}: tensor '{name}' is {tuple(tensor.shape)} and the model needs {size}; "
                "the weights do not fit the model."
            )
        tensor = tensor.to(torch.float32)
        if not tensor.isfinite().all():
            raise WeightsError(f"{self.folder}: tensor '{name}' holds NaN or infinity; breed or download it again.")
        return tensor

    def finish(self) -> None:
        """Check that nothing is left over.

        Raises:
            WeightsError: If a tensor has not been taken: computing without it would be a different model.
        """
        if self.tensors:
            raise WeightsError(
                f"{self.folder}: tensor '{min(self.tensors)}' has no place in the model; the weights do not fit it."
            )
