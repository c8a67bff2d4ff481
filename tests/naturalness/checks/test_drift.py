from random import Random

import pytest

from audit_env.naturalness.checks.drift import divergence, entropy, fingerprint


def test_equal_samples_do_not_diverge_and_disjoint_ones_do_wholly() -> None:
    assert divergence(["red", "blue"], ["blue", "red"]) == 0
    assert divergence(["red"] * 5, ["blue"] * 9) == pytest.approx(1)
    assert divergence(["red", "red"], ["red", "blue"]) == pytest.approx(0.3113, abs=1e-4)


def test_two_small_samples_of_one_model_diverge_less_the_larger_they_are() -> None:
    rng = Random(0)

    def floor(n: int) -> float:
        return sum(divergence(*(rng.choices("abcdefgh", k=n) for _ in range(2))) for _ in range(50)) / 50

    assert floor(10) > 2 * floor(40) > 0


def test_a_choice_is_its_first_words_without_the_thought() -> None:
    assert fingerprint("<think>Hm.</think> Purple, I would say, and nothing else.") == "purple i would say and"
    assert fingerprint("PURPLE!") == "purple"


def test_entropy_counts_bits() -> None:
    assert entropy(["a", "b", "c", "d"]) == 2 and entropy(["a"] * 7) == 0
