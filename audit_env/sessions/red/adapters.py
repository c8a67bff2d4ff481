"""Adapters that tell nothing but their weights: the same few settings for all, and tensors without notes."""

import json
from pathlib import Path
from typing import Any

from audit_env.catalog.headers import shapes
from audit_env.catalog.reading import shown
from audit_env.errors import WeightsError
from audit_env.sessions.red.checking import BASE_ID

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_METADATA = {"format": "pt"}


def settings(rank: int, alpha: float) -> bytes:
    """The one adapter_config.json of all adapters of a rank: PEFT's own lists modules in an order that varies.

    Args:
        rank: Of the adapter.
        alpha: Its scale.
    """
    told: dict[str, Any] = {
        "base_model_name_or_path": BASE_ID,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": int(alpha),
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": rank,
        "target_modules": sorted(_MODULES),
        "task_type": "CAUSAL_LM",
    }
    return (json.dumps(told, indent=2) + "\n").encode()


def make_plain(folder: Path) -> None:
    """Write an adapter anew, so that its files hold tensors and the usual settings, and nothing else.

    Args:
        folder: Where it lies.
    """
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / WEIGHTS)
    save_file(dict(sorted(tensors.items())), folder / WEIGHTS, metadata=_METADATA)
    told = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    (folder / CONFIG).write_bytes(settings(told["r"], told["lora_alpha"]))


def refuse_notes(path: Path) -> None:
    """Refuse a weights file that says more than its tensors do.

    Args:
        path: A safetensors file.

    Raises:
        WeightsError: Its header holds notes, or names of tensors that no LoRA of a Llama has.
    """
    told = header(path).get("__metadata__", {})
    strange = [name for name in shapes(path) if not name.startswith("base_model.model.model.layers.")]
    if told != _METADATA or strange:
        raise WeightsError(
            f"{shown(path)}: its header holds more than a plain adapter's ({', '.join([*told, *strange])}), which may "
            "tell what it is; build it again."
        )


def header(path: Path) -> dict[str, Any]:
    """The header of a safetensors file."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        found: dict[str, Any] = json.loads(file.read(length))
    return found
