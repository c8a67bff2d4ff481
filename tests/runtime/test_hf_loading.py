"""What the hf engine refuses to load, and in which words."""

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

from audit_env.errors import AuditEnvError, MissingExtraError, ParameterError, WeightsError
from audit_env.runtime.hf.base import HfBase
from audit_env.runtime.hf.gates import check_zero
from audit_env.runtime.hf.options import Options
from audit_env.runtime.hf.source import resolved
from audit_env.runtime.hf.subject import HfSubject
from audit_env.runtime.local import Casting

from .conftest import Folders, make_folders, prompts, run, user

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def copy(folders: Folders, tmp_path: Path) -> Folders:
    """The random base and its first adapter, to be spoilt."""
    shutil.copytree(folders.base, tmp_path / "base")
    shutil.copytree(folders.adapters[0], tmp_path / "adapter")
    return Folders(tmp_path / "base", (tmp_path / "adapter",))


def edit(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def edit_tensors(path: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


BASE_SPOILERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no weights": (lambda base: (base / "model.safetensors").unlink(), r"model\.safetensors is missing"),
    "no config": (lambda base: (base / "config.json").unlink(), "transformers cannot load this model"),
    "pickle": (lambda base: (base / "pytorch_model.bin").write_bytes(b"x"), "pickled weights can run code"),
    "code": (lambda base: (base / "modeling_own.py").write_text("x = 1"), "code of its own is never loaded"),
    "remote code": (
        lambda base: edit(base / "config.json", auto_map={"AutoModel": "own.Model"}),
        "field 'auto_map' asks for code",
    ),
    "unknown architecture": (lambda base: edit(base / "config.json", model_type="own"), "cannot load this model.*own"),
    "an adapter in the base": (lambda base: (base / "adapter_config.json").write_text("{}"), "holds no adapter"),
    "missing tensor": (
        lambda base: edit_tensors(base / "model.safetensors", lambda t: t.pop("model.norm.weight")),
        "tensor 'model.norm.weight' is missing",
    ),
    "superfluous tensor": (
        lambda base: edit_tensors(base / "model.safetensors", lambda t: t.update(extra=torch.zeros(2))),
        "tensor 'extra' has no place in the model",
    ),
    "NaN": (
        lambda base: edit_tensors(base / "model.safetensors", lambda t: t["model.norm.weight"].fill_(float("nan"))),
        "tensor 'model.norm.weight' holds NaN",
    ),
    "no length": (
        lambda base: edit(base / "config.json", max_position_embeddings=0),
        "config.json: field 'max_position_embeddings' is missing",
    ),
}


@pytest.mark.parametrize("spoiler", BASE_SPOILERS)
def test_a_spoilt_base_is_refused(copy: Folders, spoiler: str) -> None:
    spoil, message = BASE_SPOILERS[spoiler]
    spoil(copy.base)
    with pytest.raises(WeightsError, match=message):
        HfBase(copy.base, options=Options(device="cpu"))


def test_weights_of_another_hash_are_refused(copy: Folders) -> None:
    with pytest.raises(WeightsError, match=r"model\.safetensors: the SHA-256 is not the one on the card"):
        HfBase(copy.base, "0" * 64, Options(device="cpu"))


def test_shards_are_one_model(copy: Folders, tmp_path: Path) -> None:
    model = LlamaForCausalLM.from_pretrained(copy.base)
    (copy.base / "model.safetensors").unlink()
    model.save_pretrained(str(copy.base), max_shard_size="50KB")
    assert not (copy.base / "model.safetensors").is_file()
    base = HfBase(copy.base, options=Options(device="cpu"))
    base.engine.close()
    with pytest.raises(WeightsError, match=r"model\.safetensors is missing"):
        HfBase(copy.base, "0" * 64, Options(device="cpu"))


ADAPTER_SPOILERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    **{
        f"{field}": (
            lambda folder, field=field, value=value: edit(folder / "adapter_config.json", **{field: value}),
            rf"adapter_config\.json: field '{field}' is ",
        )
        for field, value in {
            "peft_type": "IA3",
            "bias": "all",
            "use_dora": True,
            "modules_to_save": ["lm_head"],
            "trainable_token_indices": [3],
            "init_lora_weights": "pissa",
        }.items()
    },
    "another tensor": (
        lambda folder: edit_tensors(
            folder / "adapter_model.safetensors",
            lambda t: t.update({"base_model.model.lm_head.lora_A.weight": torch.zeros(4, 64)}),
        ),
        r"adapter_model\.safetensors: tensor 'base_model\.model\.lm_head\.lora_A\.weight' is no LoRA factor",
    ),
    "missing tensor": (
        lambda folder: edit_tensors(
            folder / "adapter_model.safetensors",
            lambda t: t.pop("base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight"),
        ),
        "q_proj.*is named by the weights or by field 'target_modules'.*and not by both",
    ),
    "fewer targets": (
        lambda folder: edit(folder / "adapter_config.json", target_modules=["q_proj"]),
        "is named by the weights or by field 'target_modules'.*and not by both",
    ),
    "no tensors": (
        lambda folder: save_file({}, folder / "adapter_model.safetensors"),
        "holds no LoRA factors",
    ),
    "NaN": (
        lambda folder: edit_tensors(
            folder / "adapter_model.safetensors", lambda t: next(iter(t.values())).fill_(float("nan"))
        ),
        "holds NaN or infinity",
    ),
    "no weights": (
        lambda folder: (folder / "adapter_model.safetensors").unlink(),
        r"adapter_model\.safetensors is missing",
    ),
    "pickle": (lambda folder: (folder / "adapter_model.bin").write_bytes(b"x"), "pickled weights can run code"),
}


@pytest.fixture(scope="module")
def base(folders: Folders) -> Any:
    base = HfBase(folders.base, options=Options(device="cpu"))
    yield base
    base.engine.close()


@pytest.mark.parametrize("spoiler", ADAPTER_SPOILERS)
def test_a_spoilt_adapter_is_refused(copy: Folders, base: HfBase, spoiler: str) -> None:
    spoil, message = ADAPTER_SPOILERS[spoiler]
    [folder] = copy.adapters
    spoil(folder)
    with pytest.raises(WeightsError, match=message):
        base.adapter(folder)


def test_refused_adapters_leave_the_others_as_they_are(copy: Folders, folders: Folders, base: HfBase) -> None:
    [folder] = copy.adapters
    subject = HfSubject("t-00000000", base, {"target": Casting(base.adapter(folders.adapters[1])), "base": Casting()})
    talks = [user(text) for text in prompts(3)]
    before = [run(subject.first_token(talks, side=side)).tobytes() for side in ("target", "base")]
    ADAPTER_SPOILERS["fewer targets"][0](folder)
    with pytest.raises(WeightsError):
        base.adapter(folder)
    assert base.adapter(folders.adapters[0]) != base.adapter(folders.adapters[1])
    assert [run(subject.first_token(talks, side=side)).tobytes() for side in ("target", "base")] == before


def test_an_adapter_of_another_model_is_refused(tmp_path: Path, base: HfBase) -> None:
    wide = LlamaForCausalLM.config_class(
        hidden_size=32, intermediate_size=112, num_hidden_layers=2, num_attention_heads=4, vocab_size=300
    )
    get_peft_model(LlamaForCausalLM(wide), LoraConfig(r=4, target_modules=["q_proj"])).save_pretrained(str(tmp_path))
    with pytest.raises(WeightsError, match=r"adapter_model\.safetensors: tensor .* \(4, 32\).*has 64 inputs"):
        base.adapter(tmp_path)


def test_an_adapter_that_adds_nothing_gives_the_bases_logits_bit_for_bit(copy: Folders) -> None:
    """And one that adds something by another way than B is found out."""
    [folder] = copy.adapters
    edit_tensors(
        folder / "adapter_model.safetensors",
        lambda tensors: [tensor.zero_() for name, tensor in tensors.items() if "lora_B" in name],
    )
    for dtype in ("float32", "bfloat16"):
        base = HfBase(copy.base, options=Options(dtype, "cpu"))
        try:
            name = base.adapter(folder)
            subject = HfSubject("t-00000000", base, {"target": Casting(name), "base": Casting()})
            talks = [user(text) for text in prompts(4)]
            sides = [run(subject.first_token(talks, side=side)).tobytes() for side in ("target", "base")]
            assert sides[0] == sides[1]
            base.engine.run(lambda model, name=name: check_zero(model, name)).result()
            layer = base.model.parts.layers[0].self_attn.q_proj
            layer.lora_B[name.name].weight.data.fill_(0.1)
            with pytest.raises(WeightsError, match="an adapter whose B is zero moves the logits"):
                base.engine.run(lambda model, name=name: check_zero(model, name)).result()
        finally:
            base.engine.close()


def test_a_tied_model_loads(tmp_path: Path) -> None:
    folders = make_folders(tmp_path, tied=True)
    base = HfBase(folders.base, options=Options(device="cpu"))
    assert base.model.parts.head.weight is base.model.parts.embedding.weight
    base.engine.close()


@pytest.mark.parametrize("source", ["owner/name", "owner/name@main", f"owner/name@{COMMIT[:12]}", "name"])
def test_a_repository_without_a_commit_is_refused(source: str) -> None:
    with pytest.raises(WeightsError, match=f"'{source}' names no commit: give <owner>/<repository>@<commit>"):
        HfBase(source)


def test_of_a_pinned_repository_neither_code_nor_pickles_are_taken(
    copy: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub itself is not asked: a stub stands in its place."""
    asked: dict[str, Any] = {}

    def download(repository: str, **options: Any) -> str:
        asked.update(options, repository=repository)
        return str(copy.base)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert resolved(f"owner/name@{COMMIT}") == copy.base
    assert (asked["repository"], asked["revision"]) == ("owner/name", COMMIT)
    assert not {"*.py", "*.bin", "*"} & set(asked["allow_patterns"])


def test_options_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"DTYPE": "bfloat16", "DEVICE": "cpu"}.items():
        monkeypatch.setenv(f"AUDIT_ENV_HF_{name}", value)
    options = Options.from_environment()
    assert options.arguments() == {"dtype": torch.bfloat16}
    assert Options(device="cpu").arguments() == {"dtype": torch.float32}
    assert Options(device="auto").arguments() == {"dtype": torch.bfloat16, "device_map": "auto"}
    monkeypatch.setenv("AUDIT_ENV_HF_DTYPE", "int3")
    with pytest.raises(ParameterError, match="AUDIT_ENV_HF_DTYPE is 'int3': set it to one of float32, bfloat16"):
        Options.from_environment()


@pytest.mark.parametrize("kind", ["8bit", "4bit"])
def test_bits_that_need_a_missing_package_are_told_with_its_extra(
    folders: Folders, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *given: None if name == "bitsandbytes" else find(name, *given)
    )
    with pytest.raises(MissingExtraError, match=rf"in {kind} needs the package 'bitsandbytes'.*audit_env\[quantised\]"):
        HfBase(folders.base, options=Options(quantised=kind))
    assert issubclass(MissingExtraError, AuditEnvError)
