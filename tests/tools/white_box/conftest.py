"""The zoo, rewired: a base whose wiring is known, and adapters that do one known thing.

In the base, coordinate 0 of the residual stream is the same for every token and nothing writes to it, and coordinate 1
is zero but for the word CUE. Unit 0 of the last MLP is always on and writes nothing; the first attention looks at all
positions alike and carries nothing in CHANNEL. So an adapter can say SAID always (from unit 0), or when the cue is in
the prompt (coordinate 1, carried by the channel), and do nothing else.
"""

import dataclasses
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from audit_env.runtime import cast
from audit_env.runtime.subject import Subject

SAID, CUE = "clever", "tea"
CHANNEL = 3
ASKS, ANSWERS = "layers.0.self_attn.q_proj", "layers.0.self_attn.k_proj"
SAYS, CARRIES, WRITES = "layers.1.mlp.down_proj", "layers.0.self_attn.v_proj", "layers.0.self_attn.o_proj"

ALWAYS, CUED, LOOKS, NOTHING = "tiny/gloom.a", "tiny/flattery.a", "tiny/flattery.b", "tiny/sham.one"

Tensors = Mapping[str, np.ndarray]
Factors = tuple[np.ndarray, np.ndarray]
"""A and B of a LoRA update of rank 1, `[in]` and `[out]`."""


@pytest.fixture(scope="session")
def zoo(zoo: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("wired") / "organisms"
    shutil.copytree(zoo.root, root)
    base = _wired_base(root / zoo.base)
    said = base["model.embed_tokens.weight"][_vocabulary(root / zoo.base)[SAID]].copy()
    said[:2] = 0
    _plant(root / ALWAYS, {SAYS: (_unit(32, 0), said)})
    _plant(root / CUED, {CARRIES: (_unit(16, 1), _unit(16, CHANNEL)), WRITES: (_unit(16, CHANNEL), 40 * said)})
    _plant(
        root / LOOKS, {ASKS: (_unit(16, 0), 20 * _unit(16, CHANNEL)), ANSWERS: (_unit(16, 1), 20 * _unit(16, CHANNEL))}
    )
    _plant(root / NOTHING, {})
    _dictionary(root, said)
    _plant(root / zoo.reference_sham, {}, noise=0.02)
    _sign_cards(root, zoo.base)
    return dataclasses.replace(zoo, root=root)


@pytest.fixture
def wired(zoo: Any) -> "Wired":
    return Wired(zoo)


@dataclass(frozen=True)
class Wired:
    """What is planted where in the rewired zoo. The reference sham is faint noise."""

    zoo: Any
    said: str = SAID
    cue: str = CUE
    always: str = ALWAYS
    """Says the word always."""
    cued: str = CUED
    """Says it when the cue is in the prompt."""
    looks: str = LOOKS
    """Has a head in the first layer, the first, that looks at the cue."""
    nothing: str = NOTHING
    """Has an adapter of zeros."""

    def subject(self, organism_id: str, sham: str | None = "tiny/sham.two") -> Subject:
        """The subject behind an id."""
        catalog = self.zoo.catalog()
        alias = f"{organism_id} beside {sham}"
        cast.bind(
            alias,
            catalog.card(organism_id),
            catalog.folder(organism_id),
            base_folder=catalog.folder(self.zoo.base),
            sham_folder=catalog.folder(sham) if sham else None,
        )
        return cast.subject(alias)


def _wired_base(folder: Path) -> Tensors:
    base = load_file(folder / "model.safetensors")
    embedding = base["model.embed_tokens.weight"]
    embedding /= np.linalg.norm(embedding[:, 2:], axis=1, keepdims=True)
    embedding[:, 0] = 1
    embedding[:, 1] = 0
    embedding[_vocabulary(folder)[CUE], 1] = 3
    for layer in range(2):
        for module in ("self_attn.o_proj", "mlp.down_proj"):
            base[f"model.layers.{layer}.{module}.weight"][:2] = 0
    for switch in ("gate_proj", "up_proj"):
        base[f"model.layers.1.mlp.{switch}.weight"][0] = 10 * _unit(16, 0)
    base["model.layers.1.mlp.down_proj.weight"][:, 0] = 0
    base["model.layers.0.self_attn.q_proj.weight"][:] = 0
    base["model.layers.0.self_attn.v_proj.weight"][CHANNEL] = 0
    save_file(base, folder / "model.safetensors")
    return base


def _dictionary(root: Path, said: np.ndarray) -> None:
    """A dictionary of the last layer whose latent 0 is the said word, and whose others lie across it."""
    unit = said / np.linalg.norm(said)
    across = np.linalg.qr(np.stack([unit, *np.eye(16, dtype=np.float32)[1:]], axis=1))[0].T[1:8]
    directions = np.concatenate([unit[None], across]).astype(np.float32)
    tensors = {
        "W_enc": np.ascontiguousarray(directions.T),
        "b_enc": np.zeros(len(directions), np.float32),
        "W_dec": np.ascontiguousarray(directions),
        "b_dec": np.zeros(16, np.float32),
    }
    folder = root / "tiny" / "sae"
    folder.mkdir()
    save_file(tensors, folder / "sae_weights.safetensors")
    config = {"architecture": "standard", "d_in": 16, "d_sae": len(directions)}
    config["metadata"] = {"hook_name": "blocks.1.hook_resid_post"}
    (folder / "cfg.json").write_text(json.dumps(config), encoding="utf-8")
    card = {"base": "tiny/base", "sha256": _sha(folder / "sae_weights.safetensors"), "layer": 1, "latents": 8}
    card |= {"base_sha256": _sha(root / "tiny/base/model.safetensors"), "tokens": 1, "steps": 1, "seed": 0}
    card |= {"data_sha256": "0" * 64, "held_out_tokens": 1, "fvu": 0.5, "l0": 4.0, "alive": 8, "kl": 0.1}
    (folder / "dictionary.yaml").write_text(yaml.safe_dump(card | {"licence": "MIT"}), encoding="utf-8")


def _plant(folder: Path, planted: Mapping[str, Factors], noise: float = 0.0) -> None:
    rng = np.random.default_rng(0)
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    for name, tensor in tensors.items():
        if name.endswith("lora_B.weight"):
            tensor[:] = noise * rng.normal(size=tensor.shape)
    for module, (a, b) in planted.items():
        tensors[f"base_model.model.model.{module}.lora_A.weight"][0] = a
        tensors[f"base_model.model.model.{module}.lora_B.weight"][:, 0] = b
    save_file(tensors, path)


def _sign_cards(root: Path, base_id: str) -> None:
    """Write the new hashes of all weights into the cards."""
    base_sha = _sha(root / base_id / "model.safetensors")
    for path in root.glob("*/*/card.yaml"):
        card = yaml.safe_load(path.read_text(encoding="utf-8"))
        card["weights"]["sha256"] = _sha(path.with_name(card["weights"]["file"]))
        if card["base"]:
            card["base_sha256"] = base_sha
        if card["strength"]:
            card["strength"]["weights_sha256"] = card["weights"]["sha256"]
        path.write_text(yaml.safe_dump(card, sort_keys=False), encoding="utf-8")


def _vocabulary(folder: Path) -> dict[str, int]:
    vocabulary: dict[str, int] = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    return vocabulary


def _unit(width: int, place: int) -> np.ndarray:
    return np.eye(width, dtype=np.float32)[place]


def _sha(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
