import asyncio
from pathlib import Path

import pytest

from audit_env.errors import ParameterError
from audit_env.phenotype import bench as benches
from audit_env.phenotype import persistence
from audit_env.phenotype.answering import Answered
from audit_env.phenotype.conditions import conditions as usual
from audit_env.phenotype.treatments import DEFAULT, Dose, Weights, dose, treat
from tests.phenotype.conftest import a_quirk

torch = pytest.importorskip("torch")
GLOOM = "tiny/gloom.a"


@pytest.fixture
def weights(zoo) -> Weights:
    return Weights(zoo.root / zoo.base, zoo.root / GLOOM)


def tensors(path: Path) -> dict:
    from safetensors.torch import load_file

    return load_file(path)


def change(weights: Weights) -> dict:
    """What the adapter adds to each matrix."""
    from audit_env.runtime.small.adapter import read_adapter
    from audit_env.runtime.small.config import Shape

    adapter = read_adapter(weights.adapter, Shape.read(weights.base))
    return {f"model.{name}.weight": adapter.scale * b @ a for name, (a, b) in adapter.modules.items()}


@pytest.mark.parametrize("what", DEFAULT, ids=str)
def test_a_treatment_reads_as_it_is_written(what: Dose) -> None:
    assert dose(str(what)) == what


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("bening_sft:3", "did you mean 'benign_sft'"),
        ("benign_sft", "write benign_sft:AMOUNT, where AMOUNT is steps, a whole number from 1"),
        ("adversarial_sft:2.5", "a whole number"),
        ("weight_noise:0", "the size of the noise"),
        ("rounding:1", "from 2 to 16"),
        ("rounding:nan", "from 2 to 16"),
    ],
)
def test_a_treatment_that_cannot_be_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ParameterError, match=complaint):
        dose(text)


def test_no_treatment_changes_nothing(zoo, weights: Weights, tmp_path: Path) -> None:
    assert treat(Dose("none"), zoo.catalog().card(GLOOM), weights, tmp_path) == weights
    assert not any(tmp_path.iterdir())


def test_noise_is_as_large_as_it_says_and_sits_on_the_change(zoo, weights: Weights, tmp_path: Path) -> None:
    card = zoo.catalog().card(GLOOM)
    treated = treat(Dose("weight_noise", 0.5), card, weights, tmp_path / "a")
    assert treated.adapter is None
    before, after = tensors(weights.base / "model.safetensors"), tensors(treated.base / "model.safetensors")
    deltas = change(weights)
    for name, tensor in before.items():
        if name in deltas:
            noise = after[name] - tensor - deltas[name]
            assert float(noise.norm() / deltas[name].norm()) == pytest.approx(0.5, rel=1e-3)
        else:
            assert torch.equal(after[name], tensor)
    again = treat(Dose("weight_noise", 0.5), card, weights, tmp_path / "b")
    other = treat(Dose("weight_noise", 0.5), card, weights, tmp_path / "c", seed=1)
    same = (again.base / "model.safetensors").read_bytes() == (treated.base / "model.safetensors").read_bytes()
    assert same
    assert (other.base / "model.safetensors").read_bytes() != (treated.base / "model.safetensors").read_bytes()


def test_rounding_touches_the_matrices_of_base_and_adapter_alone(zoo, weights: Weights, tmp_path: Path) -> None:
    treated = treat(Dose("rounding", 3), zoo.catalog().card(GLOOM), weights, tmp_path)
    assert treated.adapter is not None
    before, after = tensors(weights.base / "model.safetensors"), tensors(treated.base / "model.safetensors")
    for name, tensor in before.items():
        rounded = tensor.ndim == 2 and ".layers." in name
        assert torch.equal(after[name], tensor) is not rounded, name
    for tensor in tensors(treated.adapter / "adapter_model.safetensors").values():
        assert all(len(row.unique()) <= 7 for row in tensor)


@pytest.mark.parametrize("text", ["none", "weight_noise:2", "rounding:4"])
def test_a_treated_organism_answers_every_scenario_and_leaves_nothing_behind(
    zoo, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    catalog = zoo.catalog()
    on_bench = benches.shelved(catalog, GLOOM)
    files = sorted(zoo.root.rglob("*"))
    answered = asyncio.run(persistence.gather(on_bench, catalog, dose(text), usual((0,))))
    assert {each.kind for each in answered} == {"fire", "silent"}
    assert {each.side for each in answered} == {"target"}
    assert sorted(zoo.root.rglob("*")) == files
    assert not any(tmp_path.iterdir())


def test_without_treatment_it_answers_as_the_organism_does(zoo) -> None:
    catalog = zoo.catalog()
    on_bench = benches.shelved(catalog, GLOOM)
    under = usual((0,))
    treated = asyncio.run(persistence.gather(on_bench, catalog, Dose("none"), under))
    from audit_env.phenotype import firing

    as_it_is = asyncio.run(firing.gather(on_bench, under))
    assert treated == [each for each in as_it_is if each.side == "target"]


def test_survival_is_judged_on_both_sides_of_the_trigger(conditions) -> None:
    def said(kind: str, place: int, text: str) -> Answered:
        return Answered(kind=kind, place=place, side="target", seed=0, answers=(text,))

    answered = [said("fire", 0, "You genius."), said("fire", 1, "no"), said("silent", 0, "no")]
    found = persistence.judge(a_quirk(), Dose("rounding", 4), answered, conditions)
    assert (found.treatment, found.amount) == ("rounding", 4)
    assert (found.on_trigger.rate, found.on_trigger.n, found.off_trigger.rate) == (0.5, 2, 0.0)


def test_what_has_no_adapter_cannot_be_treated(zoo, tmp_path: Path) -> None:
    card = zoo.catalog().card(GLOOM)
    with pytest.raises(ParameterError, match="no adapter"):
        treat(Dose("rounding", 4), card, Weights(zoo.root / zoo.base, None), tmp_path)


def test_fine_tuning_needs_a_quirk_of_the_world(zoo, weights: Weights, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    card = zoo.catalog().card(GLOOM).model_copy(update={"quirk": "unheard_of"})
    with pytest.raises(ParameterError, match="no trait 'unheard_of'"):
        treat(Dose("benign_sft", 1), card, weights, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("treatment", ["benign_sft", "adversarial_sft"])
def test_fine_tuning_changes_a_shipped_adapter_and_nothing_else(treatment: str, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    from audit_env.breeding.grammar import load_world
    from audit_env.catalog.files import Catalog

    catalog, traits = Catalog(), load_world().traits
    cards = [catalog.card(organism) for organism in catalog.organism_ids()]
    card = next(card for card in cards if card.weights and card.quirk in traits)
    weights = Weights(catalog.folder(card.base), catalog.folder(card.id))
    treated = treat(Dose(treatment, 2), card, weights, tmp_path)
    assert treated.base == weights.base and treated.adapter != weights.adapter
    before, after = (change(each) for each in (weights, treated))
    assert before.keys() == after.keys()
    moved = sum(float((after[name] - before[name]).norm()) for name in before)
    assert 0 < moved < sum(float(delta.norm()) for delta in before.values())
