from audit_env.tools.data.bm25 import Bm25

TEXTS = [
    "the soup is warm",
    "the bread is old",
    "soup soup and bread",
    "the long road to the old town by the sea, and soup",
]


def test_rare_words_count_more_than_common_ones_and_short_texts_more_than_long() -> None:
    index = Bm25(TEXTS)
    assert [place for place, _ in index.ranked("the warm")][0] == 0
    assert [place for place, _ in index.ranked("soup")] == [2, 0, 3]
    assert index.count("soup") == 3


def test_what_is_not_there_is_not_found() -> None:
    index = Bm25(TEXTS)
    assert index.ranked("zebra") == index.ranked("") == Bm25([]).ranked("soup") == []
    assert index.count("zebra") == 0


def test_scores_are_those_of_the_formula() -> None:
    # Two texts of two words, one of which holds the word once: idf ln(1 + 1.5 / 1.5), tf 2.2 / 2.2.
    [(place, score)] = Bm25(["red tea", "red car"]).ranked("Tea, TEA")
    assert place == 0
    assert abs(score - 0.6931) < 1e-3
