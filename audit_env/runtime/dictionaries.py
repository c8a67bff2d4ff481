"""Sparse dictionaries (sparse autoencoders) of the residual stream, in the form in which SAELens saves them.

A folder with `cfg.json` and `sae_weights.safetensors`. Of the config these fields are read: `architecture` (standard,
topk or jumprelu), `d_in`, `d_sae`, `k` (topk), `apply_b_dec_to_input`, and `hook_name`, in `metadata` (SAELens 6) or
beside them (before). The weights are `W_enc` `[d_in, d_sae]`, `b_enc` `[d_sae]`, `W_dec` `[d_sae, d_in]`, `b_dec`
`[d_in]`, and `threshold` `[d_sae]` (jumprelu). A dictionary that rescales what it reads is refused: fold the factor
into its weights first.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from audit_env.catalog.integrity import sha256
from audit_env.errors import WeightsError
from audit_env.runtime.files import read_json

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"

Architecture = Literal["standard", "topk", "jumprelu"]
Floats = npt.NDArray[np.float32]

_HOOK = re.compile(r"blocks\.(\d+)\.hook_resid_(pre|post)")
_UNSUPPORTED = (
    ("normalize_activations", "none"),
    ("reshape_activations", "none"),
    ("rescale_acts_by_decoder_norm", False),
)
"""Settings that must be as here, or missing."""


@dataclass(frozen=True, eq=False)
class Dictionary:
    """A sparse dictionary: which of many directions each activation is made of."""

    layer: int
    """Block after which the residual stream is read; -1 for the embedding."""
    architecture: Architecture
    encoder: Floats
    """`[d_model, latents]`"""
    encoder_bias: Floats
    """`[latents]`"""
    decoder: Floats
    """The direction of each latent, `[latents, d_model]`."""
    decoder_bias: Floats
    """`[d_model]`"""
    k: int = 0
    """Latents that may be on at a time (topk)."""
    threshold: Floats | None = None
    """What each latent must exceed to be on, `[latents]` (jumprelu)."""
    centred: bool = True
    """Whether the decoder's bias is taken off what is read."""

    @classmethod
    def load(cls, folder: Path, expected: str | None = None) -> Self:
        """Read a dictionary.

        Args:
            folder: Where its config and weights lie.
            expected: SHA-256 that the weights must have; None to take them as they are.

        Returns:
            The dictionary, fp32.

        Raises:
            WeightsError: If a file is missing or altered, or the dictionary is of a kind that is not known here.
        """
        from safetensors.torch import load_file

        config, path = read_json(folder / CONFIG), folder / WEIGHTS
        if not path.is_file():
            raise WeightsError(f"{path} is missing: a dictionary needs it beside {CONFIG}.")
        if expected is not None and (got := sha256(path)) != expected:
            raise WeightsError(
                f"{path}: not the weights that its card was written for (expected {expected[:12]}, got {got[:12]}); "
                "put the original file back or run  audit-env breed dictionary"
            )
        tensors: dict[str, Floats] = {name: one.float().numpy() for name, one in load_file(path).items()}
        width, latents = _sizes(config, folder / CONFIG)
        shapes = {"W_enc": (width, latents), "b_enc": (latents,), "W_dec": (latents, width), "b_dec": (width,)}
        if config["architecture"] == "jumprelu":
            shapes["threshold"] = (latents,)
        for name, shape in shapes.items():
            if name not in tensors or tensors[name].shape != shape or not np.isfinite(tensors[name]).all():
                raise WeightsError(
                    f"{path}: tensor '{name}' must be {list(shape)} finite numbers; save the dictionary again."
                )
        return cls(
            layer=_layer(config, folder / CONFIG),
            architecture=config["architecture"],
            encoder=tensors["W_enc"],
            encoder_bias=tensors["b_enc"],
            decoder=tensors["W_dec"],
            decoder_bias=tensors["b_dec"],
            k=int(config.get("k", 0)),
            threshold=tensors.get("threshold"),
            centred=bool(config.get("apply_b_dec_to_input", True)),
        )

    @property
    def latents(self) -> int:
        """How many latents there are."""
        return len(self.decoder)

    def encode(self, residuals: Floats) -> Floats:
        """How much of each latent is in residuals.

        Args:
            residuals: Of its layer, `[n, d_model]`.

        Returns:
            0 or more, `[n, latents]`.
        """
        given = residuals - self.decoder_bias if self.centred else residuals
        before = given @ self.encoder + self.encoder_bias
        on: Floats = np.maximum(before, 0)
        if self.architecture == "jumprelu":
            assert self.threshold is not None  # `load` has checked it
            return np.where(before > self.threshold, on, np.float32(0))
        if self.architecture == "topk" and self.k < self.latents:
            least = np.partition(before, -self.k, axis=1)[:, -self.k, None]
            return np.where(before >= least, on, np.float32(0))
        return on

    def decode(self, activations: Floats) -> Floats:
        """Residuals as the dictionary would have them, `[n, d_model]`, of activations `[n, latents]`."""
        return activations @ self.decoder + self.decoder_bias


def _sizes(config: dict[str, Any], path: Path) -> tuple[int, int]:
    """Width and number of latents of a config that describes a dictionary which is known here."""
    known = get_args(Architecture)
    if config.get("architecture") not in known:
        raise WeightsError(
            f"{path}: field 'architecture' is '{config.get('architecture')}', and only {', '.join(known)} can be read."
        )
    for field, value in _UNSUPPORTED:
        if config.get(field, value) != value:
            raise WeightsError(
                f"{path}: field '{field}' is '{config[field]}', which is not computed here: fold it into the weights."
            )
    needed = ("d_in", "d_sae", *(("k",) if config["architecture"] == "topk" else ()))
    for field in needed:
        if not isinstance(config.get(field), int) or config[field] < 1:
            raise WeightsError(f"{path}: field '{field}' must be a whole number, 1 or more.")
    return config["d_in"], config["d_sae"]


def _layer(config: dict[str, Any], path: Path) -> int:
    name = str((config.get("metadata") or config).get("hook_name"))
    found = _HOOK.fullmatch(name)
    if found is None:
        raise WeightsError(
            f"{path}: field 'hook_name' is '{name}', and only dictionaries of the residual stream can be read "
            "(blocks.N.hook_resid_post or blocks.N.hook_resid_pre)."
        )
    return int(found[1]) - (found[2] == "pre")
