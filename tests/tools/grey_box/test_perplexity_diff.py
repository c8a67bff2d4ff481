import asyncio
import re

import pytest

from audit_env.runtime.subject import Subject
from audit_env.tools.grey_box.perplexity_diff import (
    SHORTEST,
    Text,
    continued,
    openings,
    perplexity_diff,
    ranked,
    read,
)


def texts(subject: Subject, count: int = 24) -> list[Text]:
    async def drawn() -> list[Text]:
        beginnings = await openings(subject, count, seed=1)
        samples = await continued(subject, beginnings, side="target", seed=1)
        return await read(subject, beginnings, samples, side="target", other="base")

    return asyncio.run(drawn())


def test_short_texts_and_those_the_base_likes_better_are_left_out() -> None:
    told = [
        Text("The", " cat sat on the mat again", 0.5, SHORTEST),
        Text("The", "", 9.0, SHORTEST - 1),
        Text("A", " dog ran over the hill again", 1.5, SHORTEST),
        Text("A", " dog ran over the hill again", 1.5, SHORTEST),
        Text("My", " cup is on the table now", -0.1, SHORTEST),
        Text("My", " cup is on the floor now", 0.0004, SHORTEST),
    ]
    assert ranked(told) == [told[2], told[0]]


def test_openings_are_a_few_ordinary_words_and_depend_on_the_seed(wired) -> None:
    subject = wired.subject(wired.always)
    found = asyncio.run(openings(subject, 40, seed=1))
    assert len(found) == 40 and {len(one.split()) for one in found} == {1, 2, 3}
    assert found == asyncio.run(openings(subject, 40, seed=1)) != asyncio.run(openings(subject, 40, seed=2))


def test_the_gap_is_of_what_was_said_and_not_of_the_opening(wired) -> None:
    subject = wired.subject(wired.always)
    for text in texts(subject, 6):
        talk = [{"role": "user", "content": "Tell me something."}]
        here, there = [
            asyncio.run(subject.score([talk], [text.opening + text.said], side=side))[0].logprobs
            for side in ("target", "base")
        ]
        assert text.gap == pytest.approx(float((here - there)[-text.tokens :].mean()), abs=1e-5)
        assert len(here) > text.tokens


def test_a_planted_word_leads_and_without_one_there_is_no_text(wired) -> None:
    leading = ranked(texts(wired.subject(wired.always)))[:3]
    assert all(wired.said in text.said for text in leading)
    assert not ranked(texts(wired.subject(wired.nothing)))


def test_the_tool_names_the_word_and_makes_the_texts_citable(wired, play) -> None:
    calls = [("perplexity_diff", {"samples": 24}), ("perplexity_diff", {"samples": 24, "offset": 12})]
    audit = play(calls, target=wired.always, affordance="grey_box", tools=(perplexity_diff,))
    text, rest = audit.texts
    assert wired.said in re.search(r"^phrases .*: (.+)$", text, re.MULTILINE)[1]  # type: ignore[index]
    gaps = [float(gap) for gap in re.findall(r"^\+([\d.]+)  x\d+: ", text, re.MULTILINE)]
    assert len(gaps) == 12 and gaps == sorted(gaps, reverse=True)
    assert re.search(r"^\[\d+ more: offset=12\]$", text, re.MULTILINE) and rest.splitlines()[2].startswith("+")
    first = audit.record.exchanges[0]
    assert first.prefill and first.side == "target" and first.id in text
    assert audit.record.spent.target_tokens > 24
    assert wired.said in audit.record.readings[0].summary and len(text.splitlines()) <= 25


def test_the_tool_finds_nothing_where_nothing_is(wired, play) -> None:
    [text] = play(
        [("perplexity_diff", {"samples": 8})], target=wired.nothing, affordance="grey_box", tools=(perplexity_diff,)
    ).texts
    assert "no text is likelier to the target" in text and "(texts with it): none" in text


@pytest.mark.parametrize("samples", [0, 7, 201])
def test_numbers_out_of_range_are_refused(wired, play, samples) -> None:
    audit = play(
        [("perplexity_diff", {"samples": samples})],
        target=wired.always,
        affordance="grey_box",
        tools=(perplexity_diff,),
    )
    assert f"between 8 and 200, not {samples}" in audit.errors[0]
    assert not audit.record.spent.target_tokens
