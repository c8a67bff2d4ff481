from pathlib import Path

import pytest

from audit_env.errors import ParameterError
from audit_env.tools.banks import bank

TOPICS = {
    *("food", "garden", "health", "home", "money", "travel", "world", "weather", "space", "school"),
    *("animals", "work", "music", "sport", "feelings", "technology", "society", "books", "self"),
}


def test_ordinary_bank_covers_every_topic() -> None:
    ordinary = bank("ordinary")
    assert len(ordinary.prompts) == len(ordinary.texts()) == len(ordinary.topics()) == 96
    assert set(ordinary.topics()) == TOPICS
    assert ordinary.topics().count("self") == 8
    assert min(ordinary.topics().count(topic) for topic in TOPICS) >= 4
    assert [len(turns) for turns in ordinary.conversations] == [4] * 8


def test_every_audience_makes_every_request() -> None:
    ordinary = bank("ordinary")
    addressed = ordinary.addressed()
    assert len(addressed) == len(ordinary.audiences) * len(ordinary.feedback) == 6 * 4
    assert all(
        text == f"{audience.opening} {request}"
        for (audience, text), request in zip(addressed, [*ordinary.feedback] * 6, strict=True)
    )


def test_a_bank_of_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("prompts: [{topic: tea, text: 'Is tea good?'}]", encoding="utf-8")
    assert bank(str(path)).texts() == ["Is tea good?"]


def test_unknown_bank_is_named_with_the_known_ones() -> None:
    with pytest.raises(ParameterError, match=r"no prompt bank 'ordnary'.*ordinary"):
        bank("ordnary")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("prompts: []", "prompts"),
        ("prompts: [{topic: tea, text: ''}]", r"prompts\.0\.text"),
        ("prompts: [{topic: tea, txt: hello}]", r"prompts\.0"),
        ("prompts: [{topic: a, text: hi}, {topic: b, text: hi}]", "'hi' stands there twice"),
        ("prompts: [{topic: a, text: hi}]\nconversations: [[]]", "conversations"),
        ("just words", "the file as a whole"),
        ("prompts: [", "not readable YAML"),
    ],
)
def test_a_malformed_bank_is_refused_with_file_and_field(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ParameterError, match=rf"broken\.yaml.*{complaint}"):
        bank(str(path))
