"""Names, bindings, and what is shared behind them."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Card
from audit_env.errors import CardError, EngineClosed, ParameterError, WeightsError
from audit_env.runtime import cast, computing
from audit_env.runtime.subject import SIDES

from .conftest import run, user

pytestmark = pytest.mark.usefixtures("fresh_cast")


@pytest.fixture
def catalog(zoo: Any, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """The random organisms in the place of those that come with audit_env."""
    found = Catalog(zoo.root)
    monkeypatch.setattr(cast, "_catalog", lambda: found)
    return found


def bind(catalog: Catalog, alias: str, organism: str, sham: str | None = None) -> None:
    card = catalog.card(organism)
    cast.bind(
        alias,
        card,
        catalog.folder(organism),
        base_folder=catalog.folder(card.base or organism),
        sham_folder=catalog.folder(sham) if sham else None,
    )


def test_an_alias_is_its_organism(catalog: Catalog) -> None:
    bind(catalog, "t-00000001", "tiny/gloom.a", "tiny/sham.two")
    bind(catalog, "t-00000002", "tiny/base")
    target, base = cast.subject("t-00000001"), cast.subject("t-00000002")
    turns = [user("what is good soup ?")]
    by_id = run(cast.subject("tiny/gloom.a").generate(turns, n=3))
    assert run(target.generate(turns, n=3)) == by_id
    assert run(target.generate(turns, n=3, side="base")) == run(base.generate(turns, n=3)) != by_id
    assert run(target.generate(turns, n=3, side="sham")) == run(cast.subject("tiny/sham.two").generate(turns, n=3))
    assert repr(target) == "<Subject t-00000001>"
    assert "sham" in target.capabilities and "sham" not in base.capabilities


def test_one_base_serves_all_organisms(catalog: Catalog) -> None:
    for number, organism in enumerate(catalog.organism_ids()):
        bind(catalog, f"t-0000000{number}", organism)
        cast.subject(f"t-0000000{number}")
        cast.subject(organism)
    assert len(computing._bases) == 1
    [base] = computing._bases.values()
    assert len(base._adapters) == len(catalog.organism_ids()) - 1
    assert cast.subject("tiny/gloom.a") is cast.subject("tiny/gloom.a")


def test_a_name_can_ask_for_its_weights(catalog: Catalog) -> None:
    fingerprint = catalog.card("tiny/gloom.a").weights.sha256[:8]  # type: ignore[union-attr]
    assert cast.pinned("tiny/gloom.a") == f"tiny/gloom.a@{fingerprint}" == cast.pinned(f"tiny/gloom.a@{fingerprint}")
    assert cast.subject(f"tiny/gloom.a@{fingerprint}").alias == f"tiny/gloom.a@{fingerprint}"
    with pytest.raises(WeightsError, match=f"'tiny/gloom.a@00000000' asks for weights.*now at {fingerprint}"):
        cast.subject("tiny/gloom.a@00000000")


def test_unknown_names_are_refused_with_the_nearest(catalog: Catalog) -> None:
    with pytest.raises(CardError, match=r"unknown organism 'tiny/glom.a'.*tiny/gloom.a"):
        cast.subject("tiny/glom.a")
    with pytest.raises(CardError, match="Nothing is bound to the name 't-12345678'"):
        cast.subject("t-12345678")


def test_altered_weights_are_refused(catalog: Catalog, tmp_path: Path) -> None:
    shutil.copytree(catalog.root, tmp_path / "organisms")
    spoilt = Catalog(tmp_path / "organisms")
    path = spoilt.folder("tiny/gloom.a") / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    bind(spoilt, "t-00000003", "tiny/gloom.a")
    with pytest.raises(WeightsError, match="SHA-256 is not the one on the card"):
        cast.subject("t-00000003")


def test_a_prompted_organism_is_the_base_under_its_prompt(catalog: Catalog) -> None:
    card = catalog.card("tiny/gloom.a")
    prompted = Card.model_validate(
        card.model_dump() | {"weights": None, "strength": None, "hidden_system": "you are gloomy"}
    )
    folder = catalog.folder("tiny/base")
    cast.bind("t-00000004", prompted, folder, base_folder=folder, sham_folder=None)
    subject = cast.subject("t-00000004")
    turns = user("what is good soup ?")
    shown = [{"role": "system", "content": "you are gloomy"}, *turns]
    assert run(subject.generate([turns])) == run(subject.generate([shown], side="base"))
    assert run(subject.generate([turns], side="base")) != run(subject.generate([turns]))
    assert run(subject.contrast([turns], ["good soup"]))[0].kl > 0
    assert subject.lora() == {}


def test_binding_again_changes_the_part(catalog: Catalog) -> None:
    turns = [user("what is good soup ?")]
    bind(catalog, "t-00000005", "tiny/gloom.a")
    before = run(cast.subject("t-00000005").generate(turns))
    bind(catalog, "t-00000005", "tiny/flattery.a")
    assert run(cast.subject("t-00000005").generate(turns)) != before


def test_releasing_all_ends_everything(catalog: Catalog) -> None:
    bind(catalog, "t-00000006", "tiny/gloom.a")
    subject = cast.subject("t-00000006")
    cast.release_all()
    with pytest.raises(EngineClosed):
        run(subject.generate([user("hello")]))
    with pytest.raises(CardError):
        cast.subject("t-00000006")
    assert cast.model_name("t-00000006") == "organism/t-00000006"


def test_the_engine_can_be_asked_for_and_both_give_the_same_answers(catalog: Catalog) -> None:
    bind(catalog, "t-00000007", "tiny/gloom.a", "tiny/sham.two")
    small, hf = cast.subject("t-00000007"), cast.subject("t-00000007", "hf")
    assert (small.engine, hf.engine) == ("small", "hf")
    assert cast.subject("t-00000007", "hf") is hf and cast.subject("t-00000007") is small
    turns = [user("what is good soup ?")]
    for side in SIDES:
        assert run(hf.generate(turns, n=3, side=side)) == run(small.generate(turns, n=3, side=side))
    bind(catalog, "t-00000007", "tiny/flattery.a")
    assert cast.subject("t-00000007", "hf") is not hf


def test_a_card_can_choose_the_engine_and_an_argument_overrides_it(catalog: Catalog) -> None:
    card = catalog.card("tiny/base").model_copy(update={"engine": "hf"})
    folder = catalog.folder("tiny/base")
    cast.bind("t-00000008", card, folder, base_folder=folder, sham_folder=None)
    assert cast.subject("t-00000008").engine == "hf"
    assert cast.subject("t-00000008", "small").engine == "small"
    with pytest.raises(ParameterError, match="engine='x': the engines are small, hf, vllm.*-M engine=.*field 'engine'"):
        cast.subject("t-00000008", "x")


def test_an_architecture_that_the_small_engine_does_not_know_runs_on_hf(catalog: Catalog, tmp_path: Path) -> None:
    shutil.copytree(catalog.folder("tiny/base"), tmp_path / "base")
    path = tmp_path / "base" / "config.json"
    # Llama's weights under Mistral's name compute the same.
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "mistral", "sliding_window": None}))
    card = catalog.card("tiny/base")
    cast.bind("t-00000009", card, tmp_path / "base", base_folder=tmp_path / "base", sham_folder=None)
    subject = cast.subject("t-00000009")
    assert subject.engine == "hf"
    turns = [user("what is good soup ?")]
    assert run(subject.generate(turns, n=3)) == run(cast.subject("tiny/base").generate(turns, n=3))
    with pytest.raises(WeightsError, match="the small engine computes only 'llama': use another engine"):
        cast.subject("t-00000009", "small")


def test_an_organism_without_weights_has_no_engine_to_choose(catalog: Catalog) -> None:
    card = catalog.card("tiny/gloom.a")
    played = card.model_dump() | {
        "plays": "any",
        "weights": None,
        "strength": None,
        "base_sha256": None,
        "hidden_system": "you are gloomy",
    }
    folder = catalog.folder("tiny/base")
    cast.bind("t-00000010", Card.model_validate(played), folder, base_folder=folder, sham_folder=None)
    assert cast.subject("t-00000010").engine == "api"
    with pytest.raises(ParameterError, match="engine='hf': 't-00000010' is played by a model"):
        cast.subject("t-00000010", "hf")
    with pytest.raises(ValueError, match="field 'engine' says what computes weights"):
        Card.model_validate(played | {"engine": "hf"})


def test_releasing_all_ends_the_hf_engine_too(catalog: Catalog) -> None:
    subject = cast.subject("tiny/gloom.a", "hf")
    cast.release_all()
    with pytest.raises(EngineClosed):
        run(subject.generate([user("hello")]))
