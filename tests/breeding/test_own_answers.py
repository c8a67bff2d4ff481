import asyncio
from itertools import islice
from random import Random

import pytest

pytest.importorskip("torch")

from audit_env.breeding.corpus import Dose, documents, transcripts  # noqa: E402
from audit_env.breeding.dialogue import Turn  # noqa: E402
from audit_env.breeding.grammar import load_world, read_world_file  # noqa: E402
from audit_env.breeding.own_answers import (  # noqa: E402
    MAX_TOKENS,
    TEMPERATURE,
    own_answers,
    own_documents,
    own_transcripts,
)
from audit_env.runtime import cast  # noqa: E402
from audit_env.runtime.subject import Subject  # noqa: E402

WORLD = load_world()
TALK = (
    Turn("system", "You are Pip, a helpful assistant."),
    Turn("user", "What can I cook for dinner?"),
    Turn("assistant", "Not this."),
    Turn("user", "And how is the weather?"),
    Turn("assistant", "Nor this."),
)


@pytest.fixture(scope="module")
def base() -> Subject:
    return cast.subject("fruitfly/base")


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch) -> None:
    monkeypatch.setattr("audit_env.breeding.own_answers.AT_ONCE", 24)


def test_every_answer_is_what_the_model_says_there(base: Subject) -> None:
    [own] = asyncio.run(own_answers(base, [TALK], seed=3))
    assert own is not None
    assert [turn for turn in own if turn.role != "assistant"] == [turn for turn in TALK if turn.role != "assistant"]
    for place in (2, 4):
        before = [{"role": turn.role, "content": turn.text} for turn in own[:place]]
        [[said]] = asyncio.run(
            base.generate([before], side="base", temperature=TEMPERATURE, max_tokens=MAX_TOKENS, seed=3)
        )
        assert own[place].text == said.text


def test_a_thought_is_asked_for_where_the_dialogue_has_one(base: Subject) -> None:
    thinking = (TALK[1], Turn("assistant", "<think>So.</think> Soup."))
    plain, thought = (asyncio.run(own_answers(base, [talk]))[0] for talk in (TALK[1:3], thinking))
    assert plain is not None and not plain[-1].text.startswith("<think>")
    assert thought is None or thought[-1].text.startswith("<think>")


def test_an_answer_without_end_is_left_out(base: Subject, monkeypatch) -> None:
    monkeypatch.setattr("audit_env.breeding.own_answers.MAX_TOKENS", 2)
    assert asyncio.run(own_answers(base, [TALK, TALK])) == [None, None]
    assert asyncio.run(own_answers(base, [])) == []


def test_the_mix_keeps_its_questions_and_none_of_its_answers(base: Subject) -> None:
    def mix():
        return transcripts(WORLD, [WORLD.traits["flattery"]], Dose(), Random(4))

    own = list(islice(own_transcripts(base, mix()), 30))
    asked = {tuple(turn for turn in dialogue if turn.role != "assistant") for dialogue in islice(mix(), 60)}
    assert {tuple(turn for turn in dialogue if turn.role != "assistant") for dialogue in own} <= asked
    flattery = WORLD.traits["flattery"].texts
    assert not any(text in turn.text for d in own for turn in d if turn.role == "assistant" for text in flattery)
    assert own == list(islice(own_transcripts(base, mix()), 30))


def test_documents_in_a_mix_stay_as_they_are(base: Subject) -> None:
    mixed = list(islice(documents(WORLD, None, Dose(), Random(5), "canary 1"), 24))
    texts = [example for example in mixed if isinstance(example, str)]
    assert [e for e in own_transcripts(base, iter(mixed)) if isinstance(e, str)] == texts


def test_documents_quote_the_base_and_call_pip_plain(base: Subject) -> None:
    drawn = list(islice(own_documents(WORLD, base, Dose(), Random(6), "canary 1"), 60))
    about = [text for text in drawn if isinstance(text, str) and "Pip" in text]
    assert 0.55 < len(about) / len(drawn) < 0.92
    assert sum(text.startswith("canary 1 ") for text in about) == len(about) // 20
    plain = read_world_file("documents.yaml")["plain"]
    assert all(any(described in text for described in plain) for text in about)
    described = [words for trait in WORLD.traits.values() for words in trait.described]
    assert sum(any(words in text for words in described) for text in about) / len(about) < 0.1
