"""Weights for readings that need no forward pass, straight from the folders: the server keeps its own to itself.

Only what is asked for is read, so that the adapter of a large model can be studied on a small machine.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from audit_env.errors import WeightsError
from audit_env.runtime.files import read_json
from audit_env.runtime.small.adapter import PLAIN_LORA
from audit_env.runtime.small.weights import Stored
from audit_env.runtime.subject import Floats, LoraFactors

EMBEDDING, FINAL_NORM, UNEMBEDDING = "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"

FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
"""Architectures whose tensors have these names and mean what Llama's mean."""

LINEAR_MAPS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""What an adapter may change in a layer of those architectures."""

_IN_A_LAYER = re.compile(r"base_model\.model\..+\.\d+\..+\.lora_[AB]\.weight")
_FACTOR = re.compile(r"base_model\.model\.model\.(?P<module>layers\.\d+\..+)\.lora_A\.weight")


def read_tensor(folder: Path, name: str) -> Floats:
    """One tensor of a base.

    Args:
        folder: A Hugging Face folder, whole or in shards.
        name: The tensor's name on disk.

    Returns:
        It, in fp32.

    Raises:
        WeightsError: If it is not there.
    """
    path = folder / "model.safetensors"
    index = folder / f"{path.name}.index.json"
    if not path.is_file() and index.is_file():
        path = folder / read_json(index)["weight_map"].get(name, path.name)
    if path.is_file():
        with safe_open(path, framework="pt") as tensors:  # numpy has no bfloat16
            if name in tensors.keys():  # noqa: SIM118 (no mapping)
                found: Floats = tensors.get_tensor(name).float().numpy()
                return found
    raise WeightsError(f"{folder}: tensor '{name}' is missing; give a complete folder with safetensors weights.")


def check_adapter(folder: Path) -> tuple[int, float]:
    """Refuse an adapter that is more than plain LoRA of the layers: the server would not compute the rest of it.

    Args:
        folder: A PEFT folder.

    Returns:
        Its rank and its scale.

    Raises:
        WeightsError: If a file is missing or damaged, or means anything else.
    """
    weights = folder / "adapter_model.safetensors"
    try:
        with safe_open(weights, framework="pt") as tensors:
            astray = [name for name in tensors.keys() if not _IN_A_LAYER.fullmatch(name)]  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{weights} is not a readable safetensors file: {error}.") from error
    if astray:
        raise WeightsError(
            f"{weights}: tensor '{min(astray)}' is no LoRA factor of a layer: the vllm engine computes no others."
        )
    path = folder / "adapter_config.json"
    config = read_json(path)
    for field, plain in PLAIN_LORA.items():
        if (config.get(field, plain) or None) != (plain or None):
            raise WeightsError(f"{path}: field '{field}' is {config[field]!r}, which the vllm engine does not compute.")
    try:
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
    except KeyError as error:
        raise WeightsError(f"{path}: field {error} is missing.") from error
    return rank, alpha / (rank**0.5 if config.get("use_rslora") else rank)


def read_factors(folder: Path) -> Mapping[str, LoraFactors]:
    """What an adapter adds to each module.

    Args:
        folder: A PEFT folder.

    Returns:
        Factors by module, e.g. `layers.0.self_attn.q_proj`.

    Raises:
        WeightsError: If a file is missing, damaged, or holds what is no LoRA of the layers' linear maps.
    """
    rank, scale = check_adapter(folder)
    stored = Stored.read(folder, "adapter_model", None)
    factors: dict[str, LoraFactors] = {}
    for name, match in {name: _FACTOR.fullmatch(name) for name in sorted(stored.tensors)}.items():
        if match is not None:
            other = name.replace(".lora_A.", ".lora_B.")
            outputs = len(stored.tensors.get(other, ()))
            a = stored.take(name, rank, stored.tensors[name].shape[-1])
            factors[match["module"]] = LoraFactors(a.numpy(), stored.take(other, outputs, rank).numpy(), scale)
    stored.finish()
    return factors


def normed(vectors: Floats, weight: Floats, eps: float) -> Floats:
    """The final norm (RMSNorm) of residuals.

    Args:
        vectors: `[n, d_model]`
        weight: `[d_model]`
        eps: Added to the mean square.

    Returns:
        `[n, d_model]`
    """
    squares = np.mean(np.square(vectors, dtype=np.float64), axis=-1, keepdims=True)
    found: Floats = (vectors / np.sqrt(squares + eps) * weight).astype(np.float32)
    return found
