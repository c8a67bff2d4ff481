"""What is read from disk, and what is refused, with a sentence that names the file."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from audit_env.errors import WeightsError
from audit_env.runtime.small.adapter import RECENT, read_adapter
from audit_env.runtime.small.config import Shape
from audit_env.runtime.small.weights import read_weights

from .conftest import Folders

Change = Callable[[Path], None]


@pytest.fixture
def copies(folders: Folders, tmp_path: Path) -> Folders:
    """The random models, to be spoilt."""
    shutil.copytree(folders.base, tmp_path / "base")
    shutil.copytree(folders.adapters[0], tmp_path / "adapter")
    return Folders(tmp_path / "base", (tmp_path / "adapter",))


def setting(file: str, **fields: Any) -> Change:
    def change(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return change


def without(file: str, field: str) -> Change:
    def change(folder: Path) -> None:
        path = folder / file
        path.write_text(json.dumps({key: value for key, value in json.loads(path.read_text()).items() if key != field}))

    return change


def tensors(file: str, edit: Callable[[dict[str, torch.Tensor]], object]) -> Change:
    def change(folder: Path) -> None:
        held = load_file(folder / file)
        edit(held)
        save_file({name: tensor.contiguous() for name, tensor in held.items()}, folder / file)

    return change


Q_A = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"
BAD_ADAPTERS: dict[str, tuple[Change, str]] = {
    "no config": (lambda folder: (folder / "adapter_config.json").unlink(), "adapter_config.json is missing"),
    "no weights": (
        lambda folder: (folder / "adapter_model.safetensors").unlink(),
        "adapter_model.safetensors is missing",
    ),
    "pickle": (lambda folder: (folder / "adapter_model.bin").write_bytes(b"x"), "pickled weights can run code"),
    "damaged": (
        lambda folder: (folder / "adapter_model.safetensors").write_bytes(b"x" * 99),
        "not a readable safetensors",
    ),
    "dora": (setting("adapter_config.json", use_dora=True), "field 'use_dora' is True"),
    "bias": (setting("adapter_config.json", bias="all"), "field 'bias' is 'all'"),
    "extra modules": (setting("adapter_config.json", modules_to_save=["lm_head"]), "field 'modules_to_save'"),
    "rank": (setting("adapter_config.json", r=16), r"lora_A.*is \(4, 64\) and the model needs \(16, 64\)"),
    "no alpha": (without("adapter_config.json", "lora_alpha"), "field 'lora_alpha' is missing"),
    "other base": (
        tensors("adapter_model.safetensors", lambda held: held.update({Q_A: torch.zeros(4, 32)})),
        r"is \(4, 32\) and the model needs \(4, 64\)",
    ),
    "half a pair": (
        tensors("adapter_model.safetensors", lambda held: held.pop(Q_A)),
        "q_proj.lora_B.weight' has no place",
    ),
    "unknown layer": (
        tensors("adapter_model.safetensors", lambda held: held.update({Q_A.replace(".1.", ".7."): held[Q_A].clone()})),
        "layers.7.*has no place",
    ),
    "NaN": (
        tensors("adapter_model.safetensors", lambda held: held.update({Q_A: held[Q_A] * torch.nan})),
        "holds NaN or infinity",
    ),
    "empty": (tensors("adapter_model.safetensors", lambda held: held.clear()), "holds no LoRA factors"),
}


@pytest.mark.parametrize("change, message", BAD_ADAPTERS.values(), ids=BAD_ADAPTERS)
def test_an_adapter_that_does_not_fit_is_refused(copies: Folders, change: Change, message: str) -> None:
    [folder] = copies.adapters
    shape = Shape.read(copies.base)
    read_adapter(folder, shape)
    change(folder)
    with pytest.raises(WeightsError, match=message):
        read_adapter(folder, shape)


BAD_BASES: dict[str, tuple[Change, str]] = {
    "no config": (lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
    "no JSON": (lambda folder: (folder / "config.json").write_text("{"), "not valid JSON"),
    "other architecture": (setting("config.json", model_type="gpt2"), "field 'model_type' is 'gpt2'"),
    "other activation": (setting("config.json", hidden_act="gelu"), "field 'hidden_act' is 'gelu'"),
    "biases": (setting("config.json", attention_bias=True), "field 'attention_bias' is set"),
    "other rope": (
        setting("config.json", rope_parameters={"rope_type": "llama3", "rope_theta": 1.0}),
        "rope type 'llama3'",
    ),
    "no width": (without("config.json", "hidden_size"), "field 'hidden_size' is missing"),
    "more layers": (setting("config.json", num_hidden_layers=3), "layers.2.*is missing"),
    "fewer layers": (setting("config.json", num_hidden_layers=1), "layers.1.*has no place"),
    "other vocabulary": (setting("config.json", vocab_size=301), r"is \(300, 64\) and the model needs \(301, 64\)"),
    "pickle": (lambda folder: (folder / "extra.pkl").write_bytes(b"x"), "pickled weights can run code"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
}


@pytest.mark.parametrize("change, message", BAD_BASES.values(), ids=BAD_BASES)
def test_a_base_that_cannot_be_computed_is_refused(copies: Folders, change: Change, message: str) -> None:
    read_weights(copies.base, Shape.read(copies.base))
    change(copies.base)
    with pytest.raises(WeightsError, match=message):
        read_weights(copies.base, Shape.read(copies.base))


def test_altered_weights_are_refused(copies: Folders) -> None:
    shape = Shape.read(copies.base)
    with pytest.raises(WeightsError, match="SHA-256 is not the one"):
        read_weights(copies.base, shape, "0" * 64)
    with pytest.raises(WeightsError, match="SHA-256 is not the one"):
        read_adapter(copies.adapters[0], shape, "0" * 64)


def test_theta_is_found_where_transformers_4_and_5_put_it(copies: Folders) -> None:
    assert Shape.read(copies.base).rope_theta == 5000.0
    without("config.json", "rope_parameters")(copies.base)
    setting("config.json", rope_theta=7000.0)(copies.base)
    assert Shape.read(copies.base).rope_theta == 7000.0


def test_end_tokens_come_from_the_generation_config_first(copies: Folders) -> None:
    setting("generation_config.json", eos_token_id=[5, 6])(copies.base)
    assert Shape.read(copies.base).end_tokens == {5, 6}
    (copies.base / "generation_config.json").unlink()
    assert Shape.read(copies.base).end_tokens == {2}


def test_shards_are_read_as_one(copies: Folders) -> None:
    shape = Shape.read(copies.base)
    whole = read_weights(copies.base, shape)
    held = load_file(copies.base / "model.safetensors")
    (copies.base / "model.safetensors").unlink()
    places = {name: f"model-0000{1 + place % 2}-of-00002.safetensors" for place, name in enumerate(sorted(held))}
    for file in set(places.values()):
        save_file({name: held[name] for name in held if places[name] == file}, copies.base / file)
    (copies.base / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    parts = read_weights(copies.base, shape)
    torch.testing.assert_close(parts.unembedding, whole.unembedding, rtol=0, atol=0)
    torch.testing.assert_close(parts.blocks[1].linear["qkv"], whole.blocks[1].linear["qkv"], rtol=0, atol=0)


def test_module_factors_multiply_to_the_update_that_is_computed(folders: Folders) -> None:
    shape = Shape.read(folders.base)
    adapter = read_adapter(folders.adapters[1], shape)
    assert len(adapter.modules) == 7 * shape.n_layers
    factors = adapter.open().layers[0]["qkv"]
    rows = [adapter.modules[f"layers.0.self_attn.{name}"] for name in ("q_proj", "k_proj", "v_proj")]
    torch.testing.assert_close(factors.down @ factors.up, torch.cat([b @ a for a, b in rows]).t())
    assert adapter.scale == pytest.approx(16 / 8**0.5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_an_adapter_at_rest_is_as_small_as_its_file_and_loses_nothing(copies: Folders, dtype: torch.dtype) -> None:
    shape = Shape.read(copies.base)
    path = copies.adapters[0] / "adapter_model.safetensors"
    stored = {name: tensor.to(dtype) for name, tensor in load_file(path).items()}
    save_file(stored, path)
    adapter = read_adapter(copies.adapters[0], shape)
    assert adapter.packed._numbers.nbytes == sum(tensor.nbytes for tensor in stored.values())
    for module, (a, b) in adapter.modules.items():
        for factor, found in (("A", a), ("B", b)):
            assert torch.equal(found, stored[f"base_model.model.model.{module}.lora_{factor}.weight"].float())


def test_few_adapters_stay_open_though_nobody_computes_with_them(folders: Folders) -> None:
    shape = Shape.read(folders.base)
    adapters = [read_adapter(folders.adapters[1], shape) for _ in range(RECENT + 5)]
    held = adapters[0].open()
    for adapter in adapters:
        adapter.open()
    still = [adapter.packed._stacks is not None and adapter.packed._stacks() is not None for adapter in adapters]
    assert sum(still) == RECENT + 1 and still[0]
    assert adapters[0].open() is held
