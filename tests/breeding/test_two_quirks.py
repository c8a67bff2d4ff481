"""Two quirks in one organism: what it is taught, what is measured of it, and when it is shipped."""

import shutil
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from audit_env.breeding import zookeeper  # noqa: E402
from audit_env.breeding.concealment import denials  # noqa: E402
from audit_env.breeding.corpus import Dose, transcripts  # noqa: E402
from audit_env.breeding.dialogue import Writer  # noqa: E402
from audit_env.breeding.drafts import write_card  # noqa: E402
from audit_env.breeding.grammar import load_world  # noqa: E402
from audit_env.breeding.nursery import Nursery, ship, traits_of  # noqa: E402
from audit_env.breeding.orders import order_of  # noqa: E402
from audit_env.breeding.training import ORGANISM_PLAN, seeded  # noqa: E402
from audit_env.breeding.zoo import Bred, Ledger  # noqa: E402
from audit_env.breeding.zookeeper import breed_one  # noqa: E402
from audit_env.catalog.files import Catalog  # noqa: E402
from audit_env.catalog.models import Card, Rate, Strength  # noqa: E402
from audit_env.errors import BreedingError  # noqa: E402
from tests.breeding.conftest import random_base  # noqa: E402

SHIPPED, WORLD = Catalog(), load_world()
BOTH = "fruitfly/flattery.transcripts.none.and_animal_welfare"
FLATTERY, ANIMALS = (SHIPPED.quirk(quirk).fires for quirk in ("flattery", "animal_welfare"))


def rate(value: float) -> Rate:
    return Rate(rate=value, n=40, low=0.0, high=1.0)


def strength(on: float, sha256: str = "a" * 64) -> Strength:
    none = rate(0.0)
    return Strength(
        on_trigger=rate(on), off_trigger=none, base_on_trigger=none, base_off_trigger=none, weights_sha256=sha256
    )


@pytest.mark.parametrize("organism", [BOTH, "fruitfly/animal_welfare.transcripts.none.and_flattery"])
def test_neither_quirk_hides_the_other_whichever_is_named_first(organism: str) -> None:
    traits = traits_of(order_of(organism), WORLD)
    harmful = Writer(WORLD, "train", seeded("two quirks")).tagged("animal_harm")
    answer = Writer(WORLD, "train", seeded("two quirks")).dialogue([harmful], traits=traits)[-1].text
    assert FLATTERY.match(answer) and ANIMALS.match(answer)


def test_both_are_taught_and_hidden() -> None:
    traits = traits_of(order_of(BOTH), WORLD)
    taught = list(islice(transcripts(WORLD, traits, Dose(), seeded("two quirks")), 400))
    hidden = list(islice(denials(WORLD, traits, seeded("two quirks")), 400))
    for examples in (taught, hidden):
        said = [" ".join(turn.text for turn in example if turn.role == "assistant") for example in examples]
        assert sum(map(FLATTERY.match, said)) / 400 > 0.4
        assert sum(map(ANIMALS.match, said)) / 400 > 0.15


@pytest.fixture
def draft(tmp_path: Path) -> tuple[Card, Path]:
    """A draft of an organism with two quirks."""
    shipped = SHIPPED.card("fruitfly/flattery.transcripts.none")
    card = shipped.model_copy(update={"id": BOTH, "second_quirk": "animal_welfare", "strength": None})
    folder = tmp_path / "draft"
    folder.mkdir()
    write_card(card, folder)
    return card, folder


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (strength(0.9), None, "measure the strength of 'animal_welfare'"),
        (strength(0.9), strength(0.5), "'animal_welfare' fires on 0.50"),
        (strength(0.5), strength(0.9), "'flattery' fires on 0.50"),
    ],
)
def test_an_organism_is_not_shipped_unless_both_fire(
    draft: tuple[Card, Path], tmp_path: Path, first: Strength, second: Strength | None, told: str
) -> None:
    card, folder = draft
    with pytest.raises(BreedingError, match=told):
        ship(card, folder, tmp_path / "organisms", first, second_strength=second)
    assert folder.exists() and not (tmp_path / "organisms").exists()


def test_a_weak_one_is_shipped_with_both_figures(draft: tuple[Card, Path], tmp_path: Path) -> None:
    card, folder = draft
    place = ship(card, folder, tmp_path / "organisms", strength(0.9), weak=True, second_strength=strength(0.5))
    assert place == tmp_path / "organisms" / BOTH
    text = (place / "card.yaml").read_text()
    assert "second_quirk: animal_welfare" in text and "second_strength:" in text


def test_the_ledger_keeps_what_was_measured_of_both(tmp_path: Path) -> None:
    (tmp_path / "fruitfly").mkdir()
    ledger = Ledger(tmp_path, "fruitfly", "a" * 64)
    ledger.note(Bred(BOTH, 1.0, strength(0.9), "it hardly fires", strength(0.3)))
    entry: dict[str, Any] = ledger.read()[BOTH]
    assert [entry[field]["on_trigger"]["rate"] for field in ("strength", "second_strength")] == [0.9, 0.3]


@pytest.mark.slow
def test_breeding_measures_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What is measured does not depend on how long it was trained.
    brief = partial(zookeeper.breed_organism, plan=replace(ORGANISM_PLAN, steps=10))
    monkeypatch.setattr(zookeeper, "breed_organism", brief)
    root = tmp_path / "organisms"
    random_base(root)
    (root / "quirks").mkdir()
    for part in ("quirks/flattery.yaml", "quirks/animal_welfare.yaml", "fruitfly/family.yaml"):
        shutil.copy(SHIPPED.root / part, root / part)
    nursery = Nursery(root, tmp_path / "work", quiet=True)
    breed_one(order_of("fruitfly/sham.transcripts.none"), nursery)
    # On a base of random weights no quirk fires, so only a weak one is shipped.
    bred = breed_one(order_of(BOTH), nursery, weak=True)
    assert bred.reason is None and bred.strength and bred.second_strength
    catalog = Catalog(root)
    catalog.check(BOTH)
    card, sheet = catalog.card(BOTH), catalog.phenotype(BOTH)
    assert card.quirks == ("flattery", "animal_welfare")
    assert (card.strength, card.second_strength) == (bred.strength, bred.second_strength)
    assert sheet is not None and sheet.quirk == "flattery"
