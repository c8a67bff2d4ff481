import numpy as np

from audit_env.tools.white_box.null import BesideSham, figure, rounded
from audit_env.tools.white_box.words import Words


def test_a_star_marks_only_what_exceeds_all_figures_of_the_sham() -> None:
    beside = BesideSham(["a", "b", "c"], np.array([0.5, 2.0, 0.9]), np.array([0.0, 0.1, 1.0]))
    assert beside.row() == "b *2|0.1  c 0.9|1  a 0.5|0"
    assert beside.starred() == ["b"]
    assert beside.sham_row(1) == "c 1"
    assert BesideSham(["a"], np.array([-1.0]), np.array([1.0])).row() == "none"


def test_equal_sides_have_no_star() -> None:
    figures = np.random.default_rng(0).normal(size=50)
    assert BesideSham([str(n) for n in range(50)], figures, figures).starred(50) == []


def test_noise_below_three_digits_changes_no_ranking() -> None:
    target = np.array([1.0, 1.0 + 1e-6, 0.3, 1e-7])
    for noise in (0.0, 1e-7, -1e-7):
        beside = BesideSham(["a", "b", "c", "d"], target + noise, np.zeros(4))
        assert beside.row() == "a *1|0  b *1|0  c *0.3|0"


def test_figures_have_three_digits_and_no_exponent() -> None:
    assert [figure(value) for value in (0.0, 4e-4, 0.01234, 1.2345, -12.345, 123.45, 123456.0)] == [
        *("0", "0", "0.0123", "1.23", "-12.3", "123", "123,000")
    ]
    np.testing.assert_allclose(rounded(np.array([0.12345, 9876.5])), [0.123, 9880])


def test_words_merge_case_and_leading_space_and_drop_what_is_no_text() -> None:
    words = Words(["<|end|>", "<think>", "Tea", " tea", " TEA", "\N{REPLACEMENT CHARACTER}", " ", "!", "[PAD]", "soup"])
    assert words.words == ("tea", "!", "soup")
    values = np.arange(10.0)
    assert words.total(values).tolist() == [2 + 3 + 4, 7, 9]
    assert words.largest(np.stack([values, -values])).tolist() == [[4, 7, 9], [-2, -7, -9]]
