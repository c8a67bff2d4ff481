"""Perturbations of weights as plain data: what is done to all the weights of a subject at once.

A model that holds back a skill may lose the holding back before it loses the skill, so that noise or rounding makes
it *better* (Tice et al., 2024, "Noise injection reveals hidden capabilities of sandbagging language models",
arXiv 2412.01784).
"""

import math
from dataclasses import dataclass

from audit_env.errors import ParameterError

BITS = range(2, 17)


@dataclass(frozen=True)
class Perturbation:
    """What is done to the weights: noise, rounding, or rounding after noise. `Perturbation()` does nothing.

    All sides are perturbed alike: noise goes on the base's matrices, which every side computes with, so that it is the
    very same noise on the merged weights of each; rounding is done to the base and to what a side adds to it.
    """

    noise: float = 0.0
    """Standard deviation of Gaussian noise on every matrix of the base, embeddings included, as a share of the standard
    deviation of that matrix's weights."""
    bits: int | None = None
    """Bits that are left of each weight of the blocks: a row keeps at most 2^bits - 1 evenly spaced values. None for
    all."""
    seed: int = 0
    """Seed of the noise."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.noise) and self.noise >= 0):
            raise ParameterError(f"Perturbation.noise={self.noise}: it must be a finite number, 0 or more.")
        if self.bits is not None and self.bits not in BITS:
            raise ParameterError(
                f"Perturbation.bits={self.bits}: it must lie between {BITS[0]} and {BITS[-1]}, or be None for all bits."
            )
