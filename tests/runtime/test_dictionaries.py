"""Reading dictionaries and lenses from disk."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from audit_env.catalog.dictionaries import dictionaries_of
from audit_env.catalog.files import Catalog
from audit_env.errors import CardError, WeightsError
from audit_env.runtime import cast
from audit_env.runtime.dictionaries import Dictionary
from audit_env.runtime.lenses import TunedLens, file_of

WIDTH, LATENTS = 6, 10


def save(folder: Path, *, without: str = "", **config: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {"W_enc": (WIDTH, LATENTS), "b_enc": (LATENTS,), "W_dec": (LATENTS, WIDTH), "b_dec": (WIDTH,)}
    if config.get("architecture") == "jumprelu":
        shapes["threshold"] = (LATENTS,)
    tensors = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items() if name != without}
    save_file(tensors, folder / "sae_weights.safetensors")
    whole = {"architecture": "topk", "k": 2, "d_in": WIDTH, "d_sae": LATENTS}
    whole |= {"metadata": {"hook_name": "blocks.3.hook_resid_post"}, **config}
    (folder / "cfg.json").write_text(json.dumps(whole), encoding="utf-8")
    return tensors


@pytest.mark.parametrize("architecture", ["standard", "topk", "jumprelu"])
@pytest.mark.parametrize("centred", [True, False])
def test_activations_are_those_of_saelens_formulas(tmp_path: Path, architecture: str, centred: bool) -> None:
    tensors = save(tmp_path, architecture=architecture, apply_b_dec_to_input=centred)
    made = Dictionary.load(tmp_path)
    x = np.random.default_rng(1).normal(size=(7, WIDTH)).astype(np.float32)
    before = (x - centred * tensors["b_dec"]) @ tensors["W_enc"] + tensors["b_enc"]
    wanted = np.maximum(before, 0)
    if architecture == "topk":
        for row, values in zip(wanted, before, strict=True):
            row[np.argsort(-values)[2:]] = 0
    if architecture == "jumprelu":
        wanted *= before > tensors["threshold"]
    on = made.encode(x)
    np.testing.assert_allclose(on, wanted, atol=1e-6)
    np.testing.assert_allclose(made.decode(on), wanted @ tensors["W_dec"] + tensors["b_dec"], atol=1e-5)
    assert made.layer == 3 and made.latents == LATENTS


def test_older_configs_and_the_stream_before_a_block_are_read(tmp_path: Path) -> None:
    save(tmp_path, metadata=None, hook_name="blocks.0.hook_resid_pre")
    assert Dictionary.load(tmp_path).layer == -1


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"architecture": "gated"}, "field 'architecture' is 'gated'"),
        ({"normalize_activations": "layer_norm"}, "fold it into the weights"),
        ({"rescale_acts_by_decoder_norm": True}, "fold it into the weights"),
        ({"metadata": {"hook_name": "blocks.3.hook_z"}}, "only dictionaries of the residual stream"),
        ({"k": 0}, "field 'k' must be a whole number"),
        ({"d_sae": 11}, "tensor 'W_enc' must be"),
        ({"without": "b_dec"}, "tensor 'b_dec' must be"),
    ],
)
def test_what_cannot_be_read_right_is_refused(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    save(tmp_path, **change)
    with pytest.raises(WeightsError, match=sentence):
        Dictionary.load(tmp_path)


def test_altered_and_missing_weights_are_refused(tmp_path: Path) -> None:
    save(tmp_path)
    with pytest.raises(WeightsError, match="not the weights that its card was written for"):
        Dictionary.load(tmp_path, "0" * 64)
    (tmp_path / "sae_weights.safetensors").unlink()
    with pytest.raises(WeightsError, match="is missing"):
        Dictionary.load(tmp_path)


def test_the_shipped_dictionary_is_that_of_the_shipped_base(fresh_cast: None) -> None:
    base = Catalog().folder("fruitfly/base")
    [(folder, card)] = dictionaries_of(base).items()
    assert card.layer == 2 and card.alive > 0.9 * card.latents
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 600_000
    [found] = cast.subject("fruitfly/base").dictionaries()
    assert found.layer == card.layer and found.latents == card.latents and found.k == round(card.l0)


def test_a_dictionary_or_lens_of_other_weights_is_not_offered(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    assert dictionaries_of(base) == {} and TunedLens.beside(base) is None
    shipped = Catalog().folder("fruitfly/base")
    [(folder, _)] = dictionaries_of(shipped).items()
    card = yaml.safe_load((shipped / "card.yaml").read_text())
    (base / "card.yaml").write_text(yaml.safe_dump(card))
    (tmp_path / "sae").mkdir()
    (tmp_path / "sae" / "dictionary.yaml").write_text((folder / "dictionary.yaml").read_text())
    file_of(base).parent.mkdir()
    save_file({}, file_of(base), metadata={"base_sha256": card["weights"]["sha256"]})
    assert len(dictionaries_of(base)) == 1 and TunedLens.beside(base) is not None
    card["weights"]["sha256"] = "0" * 64
    (base / "card.yaml").write_text(yaml.safe_dump(card))
    assert dictionaries_of(base) == {} and TunedLens.beside(base) is None
    (tmp_path / "sae" / "dictionary.yaml").write_text("base: fruitfly/base")
    with pytest.raises(CardError, match="dictionary.yaml"):
        dictionaries_of(base)


def test_a_lens_carries_a_residual_by_its_layers_map(tmp_path: Path) -> None:
    lens = TunedLens({1: np.array([[0, 1], [0, 0]], np.float32)}, {1: np.array([0, 5], np.float32)})
    np.testing.assert_array_equal(lens.carried(1, np.array([[1, 2]], np.float32)), [[3, 7]])
    np.testing.assert_array_equal(lens.carried(2, np.array([[1, 2]], np.float32)), [[1, 2]])
    base = tmp_path / "base"
    base.mkdir()
    (base / "card.yaml").write_text((Catalog().folder("fruitfly/base") / "card.yaml").read_text())
    file_of(base).parent.mkdir()
    file_of(base).write_bytes(b"no")
    with pytest.raises(WeightsError, match="breed lens"):
        TunedLens.beside(base)
