"""The tuned lens (Belrose et al., arXiv 2303.08112): what a residual will have become by the end, a map for each layer.

Kept as `lens/tuned_lens.safetensors` beside the folder of the base, not in it, since vLLM takes every safetensors file
there for weights: `layers.N.weight` `[d_model, d_model]` and `layers.N.bias`
`[d_model]`, what is added to the residual after block N being `weight @ h + bias`; in the file's metadata,
`base_sha256` names the weights that it was trained on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from audit_env.catalog.models import Card
from audit_env.catalog.reading import read
from audit_env.errors import WeightsError

FOLDER = "lens"
FILE = "tuned_lens.safetensors"

Floats = npt.NDArray[np.float32]


def file_of(base_folder: Path) -> Path:
    """Where the lens of a base is kept.

    Args:
        base_folder: Where the base's card and weights lie.

    Returns:
        The file, which need not exist.
    """
    return base_folder.parent / FOLDER / FILE


@dataclass(frozen=True, eq=False)
class TunedLens:
    """Affine maps from the residual stream after a block to that after the last one."""

    weights: Mapping[int, Floats]
    """`[d_model, d_model]` by layer."""
    biases: Mapping[int, Floats]
    """`[d_model]` by layer."""

    @classmethod
    def beside(cls, base_folder: Path) -> Self | None:
        """Read the lens of a base.

        Args:
            base_folder: Where the base's card and weights lie.

        Returns:
            The lens; None where there is none, or only one of other weights.

        Raises:
            WeightsError: If the file is not a lens.
        """
        from safetensors import SafetensorError, safe_open

        path, card = file_of(base_folder), base_folder / "card.yaml"
        if not path.is_file() or not card.is_file():
            return None
        weights = read(card, Card).weights
        try:
            with safe_open(path, framework="numpy") as file:
                if weights is None or (file.metadata() or {}).get("base_sha256") != weights.sha256:
                    return None
                tensors: dict[str, Floats] = {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise WeightsError(f"{path} cannot be read ({error}): run  audit-env breed lens") from error
        layers = sorted(int(name.split(".")[1]) for name in tensors if name.endswith(".weight"))
        return cls(
            {layer: tensors[f"layers.{layer}.weight"] for layer in layers},
            {layer: tensors[f"layers.{layer}.bias"] for layer in layers},
        )

    def carried(self, layer: int, residuals: Floats) -> Floats:
        """Residuals as they are expected to leave the last block.

        Args:
            layer: Block after which they were read.
            residuals: `[..., d_model]`

        Returns:
            Of the same shape; unchanged where the lens has no map for the layer, as after the last block.
        """
        if layer not in self.weights:
            return residuals
        return residuals + residuals @ self.weights[layer].T + self.biases[layer]
