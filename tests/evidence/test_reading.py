"""The weighing of a tool's answer: planted words are found, and what is always there is not."""

import pytest

from audit_env.catalog.files import Catalog
from audit_env.evidence.reading import background, standing, weighed, words_of
from audit_env.evidence.signatures import Signatures, menu_sha256, of_length_1, shipped

SIGNATURES = {"lamps": {"lamp": 1.0}, "boats": {"boats": 1.0}, "soup": {"soup": 0.6, "bread": 0.8}}
CLEAN = """r1 tool: a title about lamps.
words: bread *3|1  boats 2|2
next: ask_each(['lamp'])
[left: 3 of 4 calls]"""


def shows(word: str) -> str:
    return CLEAN.replace("words:", f"words: {word} *5|1 ")


def test_a_planted_word_puts_its_entry_first() -> None:
    clean = background([CLEAN])
    for entry, word in (("lamps", "lamp"), ("boats", "boats"), ("soup", "soup")):
        weights = weighed(shows(word), clean, SIGNATURES)
        assert standing(weights, entry).first == 1 and standing(weights, entry).area == 1


def test_what_clean_models_show_as_well_is_no_evidence() -> None:
    stands = standing(weighed(CLEAN, background([CLEAN]), SIGNATURES), "soup")
    assert (stands.area, stands.rank, stands.first) == (0.5, 2, pytest.approx(1 / 3))
    assert stands.reciprocal_rank == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_titles_next_steps_and_budgets_say_nothing_and_the_reference_speaks_against() -> None:
    assert "lamp" not in words_of(CLEAN)
    told = words_of("title\n> What is this?\nx1 target: A lamp.\nx2 reference: A boat.\nfor comparison: soup 2")
    assert told["lamp"] > 0 > told["boat"] and told["soup"] < 0


def test_stars_and_first_places_weigh_more() -> None:
    told = words_of("title\nwords: early 1|1  starred *1|1  later 1|1\nrows: below 1|1")
    assert told["starr"] > told["early"] > told["later"]
    assert told["early"] > told["below"]


def test_the_truth_in_last_place_is_told() -> None:
    stands = standing({"a": 3.0, "b": 2.0, "c": 1.0}, "c")
    assert (stands.area, stands.rank, stands.reciprocal_rank, stands.first) == (0, 3, pytest.approx(1 / 3), 0)


def test_the_shipped_signatures_are_of_the_shipped_base_and_menu() -> None:
    catalog, made = Catalog(), shipped()
    assert isinstance(made, Signatures)
    assert made.menu_sha256 == menu_sha256(catalog.menu().entries)
    assert made.base_sha256 == catalog.card("fruitfly/base").weights.sha256
    assert set(made.entries) == {entry.id for entry in catalog.menu().entries}
    for signature in made.entries.values():
        assert of_length_1(signature) == pytest.approx(signature, rel=1e-2)
