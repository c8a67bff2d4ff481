"""Subjects made in memory from the rewired base: its weights changed by hand, and adapters of rank 1."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

from audit_env.runtime.local import Casting
from audit_env.runtime.small.adapter import Adapter, assembled
from audit_env.runtime.small.base import Base
from audit_env.runtime.small.subject import SmallSubject

Factors = tuple[np.ndarray, np.ndarray]
"""A and B of an update, `[in]` and `[out]`."""


def unit(width: int, place: int, size: float = 1.0) -> np.ndarray:
    return size * np.eye(width, dtype=np.float32)[place]


def peft_folder(folder: Path, planted: Mapping[str, Factors]) -> Path:
    """A PEFT folder with an adapter of rank 1."""
    folder.mkdir()
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 1, "lora_alpha": 1, "bias": "none"}
    config["target_modules"] = sorted({module.rpartition(".")[2] for module in planted})
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    tensors = {}
    for module, (a, b) in planted.items():
        tensors[f"base_model.model.model.{module}.lora_A.weight"] = a[None].astype(np.float32)
        tensors[f"base_model.model.model.{module}.lora_B.weight"] = b[:, None].astype(np.float32)
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


@contextmanager
def made(
    zoo: Any,
    rewire: Callable[[Base, Mapping[str, int]], Mapping[str, Factors]],
) -> Iterator[SmallSubject]:
    """A target whose adapter is what `rewire` gives, once it has changed the base, beside a sham that adds nothing."""
    base = Base(zoo.root / zoo.base)
    tokens = {text.strip(): token for token, text in enumerate(base.vocabulary)}
    with torch.no_grad():
        planted = rewire(base, tokens)
    nothing = {"layers.0.self_attn.v_proj": (unit(16, 0, 0.0), unit(16, 0, 0.0))}
    sides: dict[Any, Any] = {
        "target": Casting(_adapter(base, planted or nothing)),
        "base": Casting(),
        "sham": Casting(_adapter(base, nothing)),
    }
    yield SmallSubject("t-made", base, sides)
    base.engine.close()


def _adapter(base: Base, planted: Mapping[str, Factors]) -> Adapter:
    pairs = {
        name: (torch.from_numpy(a.astype(np.float32))[None], torch.from_numpy(b.astype(np.float32))[:, None])
        for name, (a, b) in planted.items()
    }
    return assembled(base.model.shape, 1.0, pairs)
