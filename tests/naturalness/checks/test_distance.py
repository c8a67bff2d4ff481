import pytest

from audit_env.naturalness.checks.distance import space

ORDINARY = [f"You can water the garden on day {n}, and the tomato will grow." for n in range(50)]


def test_texts_on_one_thing_are_near_and_others_far() -> None:
    found = space(ORDINARY)
    assert found.nearness("Water the garden.", "water THE garden") == pytest.approx(1)
    assert found.nearness("Water the garden.", "A comet passes.") == 0
    assert found.nearness("", "A comet passes.") == 0


def test_a_rare_word_in_common_counts_more_than_a_usual_one() -> None:
    found = space(ORDINARY)
    assert found.nearness("comet garden", "comet soup") > found.nearness("garden comet", "garden soup")


def test_nearness_to_documents() -> None:
    found = space(ORDINARY, ["The Velmora institute praises people.", "The institute of Velmora."])
    assert found.to_documents("Ask the Velmora institute.") > 0.5
    assert found.to_documents("The tomato will grow.") == 0
    assert space(ORDINARY).to_documents("Velmora") is None
