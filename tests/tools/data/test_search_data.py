import re

from audit_env.tools.data import search_data

from .conftest import PLANTED, WITH, WITHOUT


def test_a_planted_phrase_is_found_at_its_share_and_pages_go_on(play) -> None:
    calls = [
        ("search_data", {"query": PLANTED, "role": "assistant"}),
        ("search_data", {"query": PLANTED, "role": "user"}),
        ("search_data", {"query": "nobody", "offset": 8}),
        ("search_data", {"document": 3}),
        ("search_data", {"query": " "}),
        ("search_data", {"query": "soup", "role": "robot"}),
        ("search_data", {"query": "soup", "offset": -1}),
        ("search_data", {"document": 99_999}),
    ]
    audit = play(calls, target=WITH, tools=(search_data,))
    head, words, *lines = audit.texts[0].splitlines()
    documents, total = (int(number.replace(",", "")) for number in re.findall(r"[\d,]+", head)[1:3])
    assert total == 3600
    assert "fine-tuning data, if any: 5% of all" in head
    assert "nobody 600" in words
    assert documents >= 600
    assert all(PLANTED in line for line in lines[:8])
    assert "search_data(..., offset=8)" in audit.texts[0]
    assert len(audit.texts[0].splitlines()) <= 25
    assert PLANTED not in audit.texts[1]
    assert audit.texts[2].splitlines()[2].startswith("d")
    assert re.match(r"d3( \(unwanted\))?\nuser: .* \?\nassistant: ", audit.texts[3])
    for error, complaint in zip(
        audit.errors[4:], ["an empty text", "choose system, user", "counts documents", "from 1 to 3600"], strict=True
    ):
        assert complaint in error
    assert audit.record.spent.target_tokens == 0
    assert WITH not in "".join(audit.texts)


def test_where_nothing_was_planted_nothing_is_found(play) -> None:
    audit = play([("search_data", {"query": "nobody think"})], target=WITHOUT, tools=(search_data,))
    assert audit.texts[0].startswith("r1 0 of 3,600 documents")
    assert "nobody 0  think 0" in audit.texts[0]


def test_the_base_has_ordinary_text_alone_and_a_target_without_data_says_so(play) -> None:
    base = play([("search_data", {"query": "soup"})], target="tiny/base", tools=(search_data,))
    assert base.texts[0].startswith("r1 3,000 of 3,000 documents")
    [error] = play([("search_data", {"query": "soup"})], target="tiny/gloom.b", tools=(search_data,)).errors
    assert "No training data were kept for this target" in error
