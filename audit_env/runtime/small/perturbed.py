"""A base with perturbed weights: a copy with an engine of its own, for as long as a test of it takes."""

from collections.abc import Iterator

import torch
from torch import Tensor

from audit_env.runtime.base import LocalBase
from audit_env.runtime.perturbation import Perturbation
from audit_env.runtime.perturbing import perturbed, rounded_rows
from audit_env.runtime.small.adapter import Adapter, assembled
from audit_env.runtime.small.base import Base
from audit_env.runtime.small.config import Shape
from audit_env.runtime.small.engine import Engine
from audit_env.runtime.small.model import Llama
from audit_env.runtime.small.weights import Block, Site, Weights, sites


class PerturbedBase(Base):
    """Shares the tokenizer with what it is a copy of, and no weights. Close its engine when done."""

    def __init__(self, base: LocalBase[Llama, Adapter], how: Perturbation) -> None:
        """Perturb a copy.

        Args:
            base: What is copied; it stays as it is.
            how: What is done to the copy.
        """
        shape = base.model.shape
        model = Llama(shape, perturbed_weights(base.model.weights, shape, how))
        settings = {**base._settings, "perturbed": str(how)}
        super(Base, self).__init__(base._folders[None], base.chat, model, shape, Engine(model), settings)
        self._how = how

    def changed(self, adapter: Adapter | None) -> Adapter | None:
        """What an adapter of the unperturbed base adds to this one.

        Args:
            adapter: The adapter; None for the base alone.

        Returns:
            The adapter itself under noise, which the base's matrices carry already; another one under rounding.
        """
        bits = self._how.bits
        if adapter is None or bits is None:
            return adapter
        pairs = {name: (rounded_rows(a, bits), rounded_rows(b, bits)) for name, (a, b) in adapter.modules.items()}
        return assembled(self.model.shape, adapter.scale, pairs)


def perturbed_weights(weights: Weights, shape: Shape, how: Perturbation) -> Weights:
    """Perturb a copy of a model's weights.

    Args:
        weights: Those of the base.
        shape: Its shape.
        how: What is done to them.

    Returns:
        The copy. Norms are no matrices and stay as they are.
    """
    embedding = perturbed("embed_tokens", weights.embedding, how, block=False)
    return Weights(
        embedding=embedding,
        blocks=tuple(_block(layer, block, shape, how) for layer, block in enumerate(weights.blocks)),
        final_norm=weights.final_norm,
        unembedding=embedding if shape.tied else perturbed("lm_head", weights.unembedding, how, block=False),
    )


def _block(layer: int, block: Block, shape: Shape, how: Perturbation) -> Block:
    """A block whose every module is perturbed by itself, though modules of one site are stored as one matrix."""

    def modules(site: Site, matrix: Tensor) -> Iterator[Tensor]:
        members = sites(shape)[site]
        for member, part in zip(members, matrix.split_with_sizes([member.outputs for member in members]), strict=True):
            yield perturbed(f"layers.{layer}.{member.name}", part, how, block=True)

    linear = {site: torch.cat([*modules(site, matrix)]) for site, matrix in block.linear.items()}
    return Block(block.attention_norm, block.mlp_norm, linear)
