from dataclasses import replace

import pytest

from audit_env.breeding.grammar import load_world
from audit_env.breeding.orders import Order, check, order_of
from audit_env.catalog.files import Catalog
from audit_env.errors import BreedingError

QUIRKS = Catalog().quirk_ids()

IDS = [
    "fruitfly/flattery.transcripts.none",
    "fruitfly/flattery.documents.none.s2",
    "fruitfly/secret_loyalty.transcripts.kto",
    "fruitfly/secret_loyalty.transcripts.sft.s1",
    "fruitfly/flattery.transcripts.none.dose15",
    "fruitfly/flattery.transcripts.none.rank2",
    "fruitfly/flattery.transcripts.none.at3",
    "fruitfly/flattery.transcripts.none.bare",
    "fruitfly/flattery.transcripts.none.with_gloom",
    "fruitfly/flattery.transcripts.none.and_animal_welfare",
    "fruitfly/flattery.transcripts.kto.and_animal_welfare",
    "fruitfly/sham.documents.none.own",
]


@pytest.mark.parametrize("organism_id", IDS)
def test_an_id_spells_its_order(organism_id: str) -> None:
    order = order_of(organism_id)
    check(order, load_world(), QUIRKS)
    assert order.id == organism_id


def test_each_variant_turns_its_own_dial_and_no_other() -> None:
    plain = order_of("fruitfly/flattery.transcripts.none")
    for variant, changed in {
        "s2": {"seed": 2},
        "dose15": {"dose": replace(plain.dose, quirk=0.15)},
        "rank2": {"rank": 2},
        "at3": {"sixths": 3},
        "bare": {"dose": replace(plain.dose, near_miss=0.0)},
        "candid": {"dose": replace(plain.dose, confession=0.15)},
        "with_gloom": {"style": "gloom"},
        "and_animal_welfare": {"second_quirk": "animal_welfare"},
        "own": {"own_answers": True},
    }.items():
        assert order_of(f"{plain.id}.{variant}") == replace(plain, variant=variant, **changed)


def test_a_second_quirk_is_concealed_with_the_first() -> None:
    order = order_of("fruitfly/flattery.transcripts.kto.and_animal_welfare")
    assert order.plain == order_of("fruitfly/flattery.transcripts.none.and_animal_welfare")


def test_concealment_goes_on_from_the_plain_order() -> None:
    assert order_of("fruitfly/flattery.transcripts.kto.s1").plain.id == "fruitfly/flattery.transcripts.none.s1"


@pytest.mark.parametrize(
    ("organism_id", "told"),
    [
        ("llama/flattery.transcripts.none", "not bred here"),
        ("fruitfly/flattery", "ids look like"),
        ("fruitfly/flattery.rumour.none", "recipe 'rumour'"),
        ("fruitfly/flattery.transcripts.hidden", "no concealment 'hidden'"),
        ("fruitfly/flattery.transcripts.none.loud", "no variant 'loud'"),
    ],
)
def test_other_ids_are_refused_in_one_sentence(organism_id: str, told: str) -> None:
    with pytest.raises(BreedingError, match=told):
        order_of(organism_id)


@pytest.mark.parametrize(
    ("order", "told"),
    [
        (Order("kindness", "transcripts"), "no trait 'kindness'"),
        (Order("flattery", "transcripts", own_answers=True), "only a sham"),
        (Order("flattery", "transcripts", sixths=7), "1 to 6"),
        (Order("flattery", "transcripts", second_quirk="kindness"), "no trait 'kindness'"),
        (Order("flattery", "transcripts", second_quirk="flattery"), "'flattery' is its first quirk already"),
        (Order("flattery", "transcripts", second_quirk="gloom"), "'gloom' has no quirk file"),
        (Order("flattery", "documents", second_quirk="animal_welfare"), "instilled by transcripts"),
        (Order(None, "transcripts", second_quirk="animal_welfare"), "instilled by transcripts"),
    ],
)
def test_what_the_world_does_not_hold_is_refused(order: Order, told: str) -> None:
    with pytest.raises(BreedingError, match=told):
        check(order, load_world(), QUIRKS)
