"""Bases and adapters of several architectures, as transformers and PEFT save them, and what is wrong with some."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from audit_env.catalog import Catalog
from audit_env.catalog.folders import stored_shapes
from audit_env.catalog.importing import Particulars, bring_in
from audit_env.errors import WeightsError

SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    "llama": lambda: LlamaConfig(**SIZES),
    "llama with biases": lambda: LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True),
    "gpt2": lambda: GPT2Config(vocab_size=40, n_embd=16, n_layer=2, n_head=4, n_positions=32),
    "qwen2": lambda: Qwen2Config(**SIZES, tie_word_embeddings=True),
}
CHANGED = {"gpt2": ["c_attn", "mlp.c_proj"], "qwen2": ["q_proj", "down_proj"]}
"""A map with as many inputs as outputs, or nearly, and one that is no square, by architecture; Llama's as Qwen's."""

MODULES = {
    "gpt2": ("transformer.h.1.attn.c_attn", "h.1.attn.c_attn", (16, 48)),
    "qwen2": ("model.layers.1.mlp.down_proj", "model.layers.1.mlp.down_proj", (16, 24)),
}
"""A module that is changed, the end of its name on disk, and its shape there."""

RANK = 4
WHOLE, INDEX, ADAPTER = "model.safetensors", "model.safetensors.index.json", "adapter_model.safetensors"


@dataclass(frozen=True)
class Made:
    """A random model, whole and in shards, and an adapter of it."""

    name: str
    model: Path
    shards: Path
    adapter: Path


def edit(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def edit_tensors(path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def save_tokenizer(folder: Path) -> None:
    words = Tokenizer(models.WordLevel({"hello": 0, "<end>": 1}, unk_token="hello"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>")
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    tokenizer.save_pretrained(str(folder))


def make(name: str, root: Path) -> Made:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[name]())
    made = Made(name, root / "model", root / "shards", root / "adapter")
    model.save_pretrained(str(made.model))
    model.save_pretrained(str(made.shards), max_shard_size="6KB")
    save_tokenizer(made.model)
    save_tokenizer(made.shards)
    targets = CHANGED.get(name, CHANGED["qwen2"])
    config = LoraConfig(r=RANK, lora_alpha=8, target_modules=targets, init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(str(made.adapter))
    return made


@pytest.fixture(scope="session", params=CONFIGS)
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Read only."""
    return make(request.param, tmp_path_factory.mktemp("made"))


@pytest.fixture
def made(sound: Made, tmp_path: Path) -> Made:
    """A copy to be spoilt."""
    for folder in (sound.model, sound.shards, sound.adapter):
        shutil.copytree(folder, tmp_path / folder.name)
    return Made(sound.name, *(tmp_path / folder.name for folder in (sound.model, sound.shards, sound.adapter)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "organisms").mkdir()
    return tmp_path / "organisms"


def take_model(root: Path, folder: Path) -> None:
    bring_in(Catalog(root), folder, Particulars("mine/base", "MIT", about="Mine."))


def take_adapter(root: Path, folder: Path) -> None:
    bring_in(Catalog(root), folder, Particulars("mine/sham", "MIT"))


def refused(take: Callable[[Path, Path], None], root: Path, folder: Path) -> str:
    before = sorted(root.rglob("*"))
    with pytest.raises(WeightsError) as caught:
        take(root, folder)
    assert sorted(root.rglob("*")) == before
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("form", ["model", "shards"])
def test_models_and_their_adapters_are_taken_and_verified(made: Made, root: Path, form: str) -> None:
    take_model(root, getattr(made, form))
    take_adapter(root, made.adapter)
    for organism_id in ("mine/base", "mine/sham"):
        Catalog(root).check(organism_id)


def test_joined_shards_are_the_model(made: Made, root: Path) -> None:
    assert len(list(made.shards.glob("*.safetensors"))) > 2
    take_model(root, made.shards)
    assert not (root / "mine/base" / INDEX).exists()
    whole, joined = load_file(made.model / WHOLE), load_file(root / "mine/base" / WHOLE)
    assert whole.keys() == joined.keys() and all(torch.equal(whole[name], joined[name]) for name in whole)
    take_adapter(root, made.adapter)
    ids = torch.tensor([[3, 1, 4, 1, 5]])
    with torch.no_grad():
        one, other = (
            PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), adapter)(ids).logits
            for model, adapter in ((made.model, made.adapter), (root / "mine/base", root / "mine/sham"))
        )
    assert torch.equal(one, other)


def test_an_adapter_is_held_against_a_base_in_shards(made: Made, root: Path) -> None:
    """Beside a card that names a whole file, a catalogue has none; the check itself knows them."""
    assert stored_shapes(made.shards / WHOLE) == stored_shapes(made.model / WHOLE)


@pytest.fixture
def taken(made: Made, root: Path) -> Made:
    """Copies to be spoilt, of which the base is in the catalogue."""
    take_model(root, made.model)
    return made


@pytest.mark.parametrize("sound", ["gpt2", "qwen2"], indirect=True)
class TestAdapters:
    def spoilt(self, taken: Made, factor: str, shape: tuple[int, int]) -> str:
        """Give a factor another shape, and tell its name."""
        name = f"base_model.model.{MODULES[taken.name][0]}.lora_{factor}.weight"
        edit_tensors(taken.adapter / ADAPTER, lambda tensors: tensors.update({name: torch.zeros(shape)}))
        return name

    @pytest.mark.parametrize("factor", ["A", "B"])
    @pytest.mark.parametrize("place", [0, 1])
    def test_every_side_of_both_factors_counts(self, taken: Made, root: Path, factor: str, place: int) -> None:
        _, on_disk, stored = MODULES[taken.name]
        inputs, outputs = stored if taken.name == "gpt2" else stored[::-1]
        right = [RANK, inputs] if factor == "A" else [outputs, RANK]
        wrong = [size + (place == at) for at, size in enumerate(right)]
        name = self.spoilt(taken, factor, (wrong[0], wrong[1]))
        message = refused(take_adapter, root, taken.adapter)
        assert f"{taken.adapter / ADAPTER}: tensor '{name}' is {wrong}, but rank {RANK} on 'mine/base'" in message
        assert f"{on_disk}.weight' is {list(stored)}, needs {right}" in message

    def test_a_transposed_pair_does_not_fit(self, taken: Made, root: Path) -> None:
        """As an adapter would have it that took inputs for outputs."""
        inputs, outputs = MODULES[taken.name][2]
        if taken.name != "gpt2":
            inputs, outputs = outputs, inputs
        self.spoilt(taken, "A", (RANK, outputs))
        self.spoilt(taken, "B", (inputs, RANK))
        assert f"is [{RANK}, {outputs}], but rank {RANK}" in refused(take_adapter, root, taken.adapter)

    def test_of_another_model(self, taken: Made, root: Path, tmp_path: Path) -> None:
        wide = {"gpt2": {"n_embd": 20}, "qwen2": {"hidden_size": 20}}[taken.name]
        config = CONFIGS[taken.name]()
        config.update(wide)
        model = AutoModelForCausalLM.from_config(config)
        lora = LoraConfig(r=RANK, lora_alpha=8, target_modules=CHANGED[taken.name])
        get_peft_model(model, lora).save_pretrained(str(tmp_path / "other"))
        assert "it was trained on another model" in refused(take_adapter, root, tmp_path / "other")

    def test_of_another_architecture(self, taken: Made, root: Path, tmp_path: Path) -> None:
        other = make({"gpt2": "qwen2", "qwen2": "gpt2"}[taken.name], tmp_path / "other")
        message = refused(take_adapter, root, other.adapter)
        assert "has no linear map '" in message or "field 'fan_in_fan_out' is true" in message

    def test_of_a_layer_that_the_base_lacks(self, taken: Made, root: Path) -> None:
        module = MODULES[taken.name][0]
        deeper = module.replace(".1.", ".2.")

        def move(tensors: dict[str, torch.Tensor]) -> None:
            for factor in "AB":
                key = f"base_model.model.{{}}.lora_{factor}.weight"
                tensors[key.format(deeper)] = tensors.pop(key.format(module))

        edit_tensors(taken.adapter / ADAPTER, move)
        assert f"'mine/base' has no linear map '{deeper}' in its layers" in refused(take_adapter, root, taken.adapter)

    def test_half_a_pair(self, taken: Made, root: Path) -> None:
        name = f"base_model.model.{MODULES[taken.name][0]}.lora_A.weight"
        edit_tensors(taken.adapter / ADAPTER, lambda tensors: tensors.pop(name))
        assert f"tensor '{name}' is absent, but rank" in refused(take_adapter, root, taken.adapter)

    def test_modules_that_the_config_does_not_name(self, taken: Made, root: Path) -> None:
        edit(taken.adapter / "adapter_config.json", target_modules=CHANGED[taken.name][:1])
        assert "is no LoRA factor of the layers" in refused(take_adapter, root, taken.adapter)

    def test_a_pattern_is_peft_s_to_read(self, taken: Made, root: Path) -> None:
        edit(taken.adapter / "adapter_config.json", target_modules=r".*\.(c_attn|c_proj|q_proj|down_proj)")
        take_adapter(root, taken.adapter)

    def test_a_spoilt_one_in_the_catalogue_is_found_by_verify(self, taken: Made, root: Path) -> None:
        take_adapter(root, taken.adapter)
        edit(root / "mine/sham/adapter_config.json", target_modules=["nothing"])
        with pytest.raises(WeightsError, match="is no LoRA factor of the layers"):
            Catalog(root).check("mine/sham")

    def test_missing_safetensors_and_pickles(self, taken: Made, root: Path) -> None:
        (taken.adapter / ADAPTER).unlink()
        assert f"{ADAPTER}: missing; save the weights as this one file" in refused(take_adapter, root, taken.adapter)
        torch.save({}, taken.adapter / "adapter_model.bin")
        assert "pickled weights can run code" in refused(take_adapter, root, taken.adapter)

    def test_a_pickle_under_the_name_of_safetensors(self, taken: Made, root: Path) -> None:
        torch.save({"a": torch.zeros(3)}, taken.adapter / ADAPTER)
        assert "not a sound safetensors file" in refused(take_adapter, root, taken.adapter)


def test_fan_in_fan_out_is_for_maps_that_are_stored_so(taken: Made, root: Path) -> None:
    """PEFT sets it for GPT-2 by itself."""
    config = taken.adapter / "adapter_config.json"
    assert json.loads(config.read_text())["fan_in_fan_out"] == (taken.name == "gpt2")
    edit(config, fan_in_fan_out=True)
    if taken.name == "gpt2":
        take_adapter(root, taken.adapter)
    else:
        assert "field 'fan_in_fan_out' is true" in refused(take_adapter, root, taken.adapter)


@pytest.mark.parametrize("sound", ["gpt2"], indirect=True)
def test_names_on_disk_may_lack_the_first_part(taken: Made, root: Path) -> None:
    """As the published GPT-2 has them; here written so, since what transformers writes has it or not by version."""
    shutil.rmtree(root / "mine")

    def shorten(tensors: dict[str, torch.Tensor]) -> None:
        for name in list(tensors):
            tensors[name.removeprefix("transformer.")] = tensors.pop(name)
        tensors["h.0.attn.bias"] = torch.ones(1, 1, 8, 8, dtype=torch.bool)

    edit_tensors(taken.model / WHOLE, shorten)
    take_model(root, taken.model)
    take_adapter(root, taken.adapter)
    Catalog(root).check("mine/sham")


def deepen(folder: Path) -> None:
    """Have the config ask for a third layer."""
    known = json.loads((folder / "config.json").read_text())
    edit(folder / "config.json", **{field: 3 for field in ("n_layer", "num_hidden_layers") if field in known})


MODEL_SPOILERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "another vocabulary": (lambda folder: edit(folder / "config.json", vocab_size=41), "41"),
    "a layer too few": (deepen, "must come from the same model"),
    "no architecture": (lambda folder: edit(folder / "config.json", model_type=None), "field 'model_type' is null"),
    "code": (lambda folder: edit(folder / "config.json", auto_map={"AutoModel": "own.Model"}), "field 'auto_map'"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json: missing"),
    "no template": (lambda folder: (folder / "chat_template.jinja").unlink(), "chat_template.jinja: missing"),
    "a pickle": (lambda folder: torch.save({}, folder / "pytorch_model.bin"), "pickled weights can run code"),
}


@pytest.mark.parametrize("form", ["model", "shards"])
@pytest.mark.parametrize("spoiler", MODEL_SPOILERS)
def test_a_model_that_is_not_sound(made: Made, root: Path, form: str, spoiler: str) -> None:
    folder = getattr(made, form)
    spoil, said = MODEL_SPOILERS[spoiler]
    spoil(folder)
    assert said in refused(take_model, root, folder)


def first_shard(folder: Path) -> Path:
    return min(folder.glob("model-*.safetensors"))


def remap(folder: Path, name: Any) -> None:
    places = json.loads((folder / INDEX).read_text())["weight_map"]
    edit(folder / INDEX, weight_map=places | {min(places): name})


SHARD_SPOILERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "no index": (
        lambda folder: (folder / INDEX).unlink(),
        f"missing; save the weights as this one file, or as shards with {INDEX}",
    ),
    "an empty index": (lambda folder: edit(folder / INDEX, weight_map={}), "field 'weight_map' names no tensors"),
    "no map": (lambda folder: (folder / INDEX).write_text("{}"), "field 'weight_map' names no tensors"),
    "a missing shard": (
        lambda folder: first_shard(folder).unlink(),
        "missing, and model.safetensors.index.json names it",
    ),
    "a shard cut short": (
        lambda folder: first_shard(folder).write_bytes(first_shard(folder).read_bytes()[:-1]),
        "not a sound safetensors file",
    ),
    "a tensor that the index does not name": (
        lambda folder: edit_tensors(first_shard(folder), lambda tensors: tensors.update(extra=torch.zeros(2))),
        "tensor 'extra' is in the file or in field 'weight_map'",
    ),
    "a tensor that is in no shard": (
        lambda folder: edit_tensors(first_shard(folder), lambda tensors: tensors.pop(min(tensors))),
        "and not in both",
    ),
    **{
        f"a shard at {name!r}": (lambda folder, name=name: remap(folder, name), "no safetensors file beside the index")
        for name in (
            "../model-1.safetensors",
            "/model-1.safetensors",
            "..\\model.safetensors",
            "model.bin",
            "",
            7,
            None,
        )
    },
}


@pytest.mark.parametrize("sound", ["gpt2", "qwen2"], indirect=True)
@pytest.mark.parametrize("spoiler", SHARD_SPOILERS)
def test_shards_that_are_not_one_sound_model(made: Made, root: Path, spoiler: str) -> None:
    spoil, said = SHARD_SPOILERS[spoiler]
    spoil(made.shards)
    assert said in refused(take_model, root, made.shards)
