import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from audit_env.catalog import Catalog
from audit_env.catalog.integrity import sha256
from audit_env.errors import AuditEnvError, CardError, WeightsError

from .conftest import (
    BASE,
    PROMPTED,
    QUIRKED,
    RANK,
    SHAM,
    adapter_shapes,
    base_shapes,
    edit_json,
    edit_yaml,
    replace_adapter,
    save_weights,
)


def complaint(root: Path, organism_id: str, kind: type[AuditEnvError] = WeightsError) -> str:
    with pytest.raises(kind) as caught:
        Catalog(root).check(organism_id)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("organism_id", [BASE, QUIRKED, SHAM, PROMPTED])
def test_sound_organisms_pass(root: Path, organism_id: str) -> None:
    Catalog(root).check(organism_id)


class TestFiles:
    def test_a_missing_adapter_is_named_with_the_command_that_makes_it(self, root: Path) -> None:
        (root / QUIRKED / "adapter_model.safetensors").unlink()
        message = complaint(root, QUIRKED)
        assert f"{root / QUIRKED / 'adapter_model.safetensors'}: missing" in message
        assert f"audit-env breed organism {QUIRKED}" in message

    def test_altered_weights_are_refused_with_both_hashes(self, root: Path) -> None:
        path = root / QUIRKED / "adapter_model.safetensors"
        # Hashed here and not by the catalogue, which knows a file again by its size and time of change: on a coarse
        # clock the altered one, of the same size, might have the time of the sound one.
        expected = hashlib.sha256(path.read_bytes()).hexdigest()
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
        message = complaint(root, QUIRKED)
        assert f"expected {expected[:12]}, got {hashlib.sha256(data).hexdigest()[:12]}" in message

    def test_an_altered_base_is_found_through_its_organisms(self, root: Path) -> None:
        save_weights(root / BASE, "model.safetensors", base_shapes(), seed=5)
        assert f"{root / BASE / 'model.safetensors'}: not the weights" in complaint(root, QUIRKED)

    @pytest.mark.parametrize("name", ["pytorch_model.bin", "x.pt", "x.pth", "x.PKL", "x.pickle", "deep/last.ckpt"])
    def test_pickled_weights_are_refused_by_name(self, root: Path, name: str) -> None:
        path = root / QUIRKED / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        assert f"{path}: pickled weights can run code" in complaint(root, QUIRKED)

    @pytest.mark.parametrize("name", ["modeling_llama.py", "deep/kernel.SO", "x.pyc"])
    def test_code_beside_weights_is_refused(self, root: Path, name: str) -> None:
        path = root / QUIRKED / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        assert f"{path}: a model that brings code of its own" in complaint(root, QUIRKED)

    def test_a_config_within_a_config_that_asks_for_code_is_refused(self, root: Path) -> None:
        edit_json(root / BASE / "config.json", text_config={"parts": [{"auto_map": {"AutoModel": "own.Model"}}]})
        assert "field 'auto_map' asks for code" in complaint(root, BASE)

    def test_a_chat_template_may_stand_in_the_tokenizers_config(self, root: Path) -> None:
        (root / BASE / "chat_template.jinja").unlink()
        edit_json(root / BASE / "tokenizer_config.json", chat_template="{{ messages }}")
        Catalog(root).check(BASE)

    @pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
    def test_a_config_that_asks_for_code_is_refused(self, root: Path, name: str) -> None:
        edit_json(root / BASE / name, auto_map={"AutoModel": "modeling_llama.Model"})
        assert f"{root / BASE / name}: field 'auto_map' asks for code" in complaint(root, QUIRKED)

    @pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"])
    def test_a_base_lacking_a_file_is_refused(self, root: Path, name: str) -> None:
        (root / BASE / name).unlink()
        assert f"{root / BASE / name}: missing" in complaint(root, BASE)


class TestLineage:
    def test_an_adapter_for_another_base_is_refused_with_both_hashes(self, root: Path) -> None:
        edit_yaml(root / QUIRKED / "card.yaml", lambda card: card.update(base_sha256="b" * 64))
        message = complaint(root, QUIRKED)
        assert "field 'base_sha256' is bbbbbbbbbbbb" in message
        assert Catalog(root).card(BASE).weights.sha256[:12] in message  # type: ignore[union-attr]

    def test_only_a_base_can_be_the_base(self, root: Path) -> None:
        edit_yaml(root / QUIRKED / "card.yaml", lambda card: card.update(base=SHAM))
        assert "field 'base' names 'zoo/sham', which is itself made from another" in complaint(root, QUIRKED, CardError)

    def test_a_strength_measured_on_other_weights_is_refused(self, root: Path) -> None:
        rate = {"rate": 1.0, "n": 20, "low": 0.8, "high": 1.0}
        sides = ("on_trigger", "off_trigger", "base_on_trigger", "base_off_trigger")
        strength = {side: rate for side in sides} | {"weights_sha256": "c" * 64}
        edit_yaml(root / QUIRKED / "card.yaml", lambda card: card.update(strength=strength))
        assert "field 'strength.weights_sha256' is cccccccccccc" in complaint(root, QUIRKED, CardError)
        strength["weights_sha256"] = sha256(root / QUIRKED / "adapter_model.safetensors")
        edit_yaml(root / QUIRKED / "card.yaml", lambda card: card.update(strength=strength))
        Catalog(root).check(QUIRKED)


class TestAdapterConfig:
    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"peft_type": "IA3"}, "field 'peft_type' is \"IA3\""),
            ({"r": 8}, f"field 'r' is 8, but field 'recipe.rank' of card.yaml says {RANK}"),
            ({"lora_alpha": 32}, "field 'lora_alpha' is 32, but field 'recipe.alpha' of card.yaml says 8.0"),
            ({"target_modules": []}, "field 'target_modules' is []"),
            ({"target_modules": ""}, "field 'target_modules' is \"\""),
            ({"target_modules": {"q_proj": 1}}, "field 'target_modules' is {\"q_proj\": 1}"),
            ({"fan_in_fan_out": True}, "field 'fan_in_fan_out' is true"),
            ({"init_lora_weights": "pissa"}, "field 'init_lora_weights' is \"pissa\""),
            ({"use_qalora": True}, "field 'use_qalora' is true"),
            ({"modules_to_save": ["lm_head"]}, "field 'modules_to_save' is [\"lm_head\"]"),
            ({"rank_pattern": {"q_proj": 2}}, "field 'rank_pattern'"),
            ({"use_dora": True}, "field 'use_dora' is true"),
            ({"use_rslora": True}, "field 'use_rslora' is true"),
            ({"bias": "all"}, "field 'bias' is \"all\""),
        ],
    )
    def test_anything_but_the_card_s_plain_lora_is_refused(
        self, root: Path, fields: dict[str, object], said: str
    ) -> None:
        edit_json(root / QUIRKED / "adapter_config.json", **fields)
        message = complaint(root, QUIRKED)
        assert f"{root / QUIRKED / 'adapter_config.json'}: {said}" in message

    def test_a_missing_or_broken_config_is_named(self, root: Path) -> None:
        path = root / QUIRKED / "adapter_config.json"
        path.write_text("{")
        assert f"{path}: not readable as JSON" in complaint(root, QUIRKED)
        path.write_text("[]")
        assert f"{path}: must hold a JSON object" in complaint(root, QUIRKED)
        path.unlink()
        assert f"{path}: missing" in complaint(root, QUIRKED)

    @pytest.mark.slow
    def test_what_peft_writes_is_accepted(self, root: Path) -> None:
        peft = pytest.importorskip("peft")
        folder = root / QUIRKED
        peft.LoraConfig(r=RANK, lora_alpha=8, target_modules=["q_proj", "down_proj"]).save_pretrained(folder)
        Catalog(root).check(QUIRKED)


class TestShapes:
    def test_an_adapter_of_another_width_is_refused(self, root: Path) -> None:
        replace_adapter(root, QUIRKED, adapter_shapes(width=12))
        name = "base_model.model.model.layers.0.mlp.down_proj.lora_B.weight"
        assert (
            f"tensor '{name}' is [12, 4], but rank 4 on 'zoo/base', whose 'model.layers.0.mlp.down_proj.weight' is "
            "[16, 24], needs [16, 4]"
        ) in complaint(root, QUIRKED)

    def test_an_adapter_of_another_rank_is_refused(self, root: Path) -> None:
        replace_adapter(root, QUIRKED, adapter_shapes(rank=2))
        assert "is [2, 24], but rank 4 on 'zoo/base'" in complaint(root, QUIRKED)

    def test_half_a_pair_is_refused(self, root: Path) -> None:
        shapes = adapter_shapes()
        name = "base_model.model.model.layers.1.mlp.down_proj.lora_B.weight"
        del shapes[name]
        replace_adapter(root, QUIRKED, shapes)
        assert f"tensor '{name}' is absent, but rank 4 on 'zoo/base'" in complaint(root, QUIRKED)

    def test_a_layer_the_base_does_not_have_is_refused(self, root: Path) -> None:
        extra = "base_model.model.model.layers.7.self_attn.q_proj"
        shapes = adapter_shapes() | {f"{extra}.lora_A.weight": (4, 16), f"{extra}.lora_B.weight": (16, 4)}
        replace_adapter(root, QUIRKED, shapes)
        message = complaint(root, QUIRKED)
        assert f"tensor '{extra}.lora_A.weight' is [4, 16], but 'zoo/base' has no linear map" in message
        assert "'model.layers.7.self_attn.q_proj'" in message

    def test_a_change_outside_of_the_layers_is_refused(self, root: Path) -> None:
        edit_json(root / QUIRKED / "adapter_config.json", target_modules=["q_proj", "down_proj", "lm_head"])
        head = "base_model.model.lm_head"
        shapes = {f"{head}.lora_A.weight": (4, 16), f"{head}.lora_B.weight": (32, 4)}
        replace_adapter(root, QUIRKED, adapter_shapes() | shapes)
        assert "'zoo/base' has no linear map 'lm_head' in its layers" in complaint(root, QUIRKED)

    @pytest.mark.parametrize(
        "name", ["base_model.model.lm_head.weight", "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"]
    )
    def test_a_tensor_that_the_config_does_not_speak_of_is_refused(self, root: Path, name: str) -> None:
        replace_adapter(root, QUIRKED, adapter_shapes() | {name: (4, 16)})
        assert f"tensor '{name}' is no LoRA factor of the layers" in complaint(root, QUIRKED)

    def test_an_empty_adapter_is_refused(self, root: Path) -> None:
        replace_adapter(root, QUIRKED, {})
        assert "holds no tensors" in complaint(root, QUIRKED)

    @pytest.mark.parametrize("field", ["vocab_size", "hidden_size", "num_hidden_layers", "num_key_value_heads"])
    def test_a_base_that_its_config_does_not_describe_is_refused(self, root: Path, field: str) -> None:
        config = root / BASE / "config.json"
        edit_json(config, **{field: json.loads(config.read_text())[field] * 2})
        assert "where config.json asks for" in complaint(root, BASE)

    def test_tied_embeddings_need_no_head(self, root: Path) -> None:
        shapes = base_shapes()
        del shapes["lm_head.weight"]
        weights = save_weights(root / BASE, "model.safetensors", shapes)
        edit_yaml(root / BASE / "card.yaml", lambda card: card.update(weights=weights))
        assert "tensor 'lm_head.weight' is absent" in complaint(root, BASE)
        edit_json(root / BASE / "config.json", tie_word_embeddings=True)
        Catalog(root).check(BASE)

    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"model_type": None}, "field 'model_type' is null"),
            ({"hidden_size": None}, "a size is missing or no number"),
            ({"num_attention_heads": 0}, "a size is missing or no number"),
        ],
    )
    def test_an_unusable_base_config_is_named(self, root: Path, fields: dict[str, object], said: str) -> None:
        edit_json(root / BASE / "config.json", **fields)
        assert f"{root / BASE / 'config.json'}: {said}" in complaint(root, BASE)


class TestSha256:
    def test_follows_changes_of_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "x"
        path.write_bytes(b"one")
        before = sha256(path)
        path.write_bytes(b"three")
        assert sha256(path) != before

    def test_reads_an_unchanged_file_once(self, tmp_path: Path) -> None:
        path, twin = tmp_path / "x", tmp_path / "twin"
        path.write_bytes(b"one")
        before = sha256(path)
        state = path.stat()
        # Other content under the same size and time of change: only a second reading would notice.
        twin.write_bytes(b"two")
        shutil.copyfile(twin, path)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        assert sha256(path) == before
