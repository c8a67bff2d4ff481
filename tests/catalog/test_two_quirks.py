"""Cards of organisms with two quirks."""

from pathlib import Path
from typing import Any

import pytest

from audit_env.catalog import Catalog
from audit_env.catalog.integrity import sha256
from audit_env.errors import CardError

from .conftest import QUIRKED, edit_yaml

CARD = Path(QUIRKED) / "card.yaml"


def strength(root: Path, on: float = 0.9, **fields: Any) -> dict[str, Any]:
    """What was measured of a quirk of the organism, on the weights that it has."""
    rates = {"on_trigger": on, "off_trigger": 0.0, "base_on_trigger": 0.0, "base_off_trigger": 0.0}
    made = {name: {"rate": rate, "n": 20, "low": 0.0, "high": 1.0} for name, rate in rates.items()}
    return made | {"weights_sha256": sha256(root / QUIRKED / "adapter_model.safetensors")} | fields


@pytest.fixture
def two(root: Path) -> Path:
    """A catalogue whose organism has two quirks, both measured."""
    put(root, second_quirk="gloom", strength=strength(root), second_strength=strength(root, on=0.7))
    return root


def put(root: Path, **fields: object) -> None:
    edit_yaml(root / CARD, lambda card: card.update(fields))


def complaint(root: Path) -> str:
    with pytest.raises(CardError) as caught:
        Catalog(root).check(QUIRKED)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_card_holds_both_quirks_each_with_its_strength(two: Path) -> None:
    Catalog(two).check(QUIRKED)
    card = Catalog(two).card(QUIRKED)
    assert card.quirks == ("flattery", "gloom")
    assert [measured and measured.on_trigger.rate for measured in card.strengths.values()] == [0.9, 0.7]
    assert card.met()


@pytest.mark.parametrize("missing", ["strength", "second_strength"])
def test_an_organism_is_not_known_to_fire_until_both_were_measured(two: Path, missing: str) -> None:
    edit_yaml(two / CARD, lambda card: card.pop(missing))
    Catalog(two).check(QUIRKED)
    assert not Catalog(two).card(QUIRKED).met()


@pytest.mark.parametrize("weak", ["strength", "second_strength"])
def test_one_that_hardly_fires_is_enough_to_fail(two: Path, weak: str) -> None:
    put(two, **{weak: strength(two, on=0.5)})
    assert not Catalog(two).card(QUIRKED).met()


def test_others_have_one_quirk_or_none(root: Path) -> None:
    cards = {organism_id: Catalog(root).card(organism_id) for organism_id in Catalog(root).organism_ids()}
    assert {name: card.quirks for name, card in cards.items()} == {
        "zoo/base": (),
        "zoo/sham": (),
        "zoo/flattery.transcripts.none": ("flattery",),
        "zoo/gloom.prompt": ("gloom",),
    }
    assert not any(card.met() for card in cards.values())


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"second_quirk": "flattery"}, "field 'second_quirk' must be another one beside 'quirk'"),
        ({"quirk": None, "standing": "sham"}, "field 'second_quirk' must be another one beside 'quirk'"),
        ({"second_quirk": None}, "field 'second_strength' measures 'second_quirk', which is missing"),
        ({"second_quirk": "glom"}, "field 'second_quirk': unknown quirk 'glom'; did you mean 'gloom'?"),
    ],
)
def test_a_contradictory_card_is_refused_with_its_field(two: Path, fields: dict[str, object], told: str) -> None:
    put(two, **fields)
    assert told in complaint(two)


def test_a_second_strength_of_other_weights_is_refused_with_the_command_that_mends_it(two: Path) -> None:
    put(two, second_strength=strength(two, weights_sha256="c" * 64))
    message = complaint(two)
    assert "field 'second_strength.weights_sha256' is cccccccccccc" in message
    assert f"run  audit-env breed organism {QUIRKED}" in message


def test_an_unknown_sham_of_the_second_strength_is_named(two: Path) -> None:
    put(two, second_strength=strength(two, sham="zoo/shame"))
    assert "field 'second_strength.sham': unknown organism 'zoo/shame'" in complaint(two)
