import asyncio
import re

import numpy as np
import pytest

from audit_env.runtime.subject import Contrast, Side, Subject
from audit_env.tools.banks import bank
from audit_env.tools.white_box.divergence import Divergence, _spread, divergence, own_answers, pooled
from audit_env.tools.white_box.null import BesideSham
from audit_env.tools.white_box.words import Words

PROMPTS = ["what is good soup ?", "where is the city ?", "tell me a question .", "help me cook bread"]


def measured(subject: Subject, side: Side) -> Divergence:
    async def both() -> Divergence:
        answers = await own_answers(subject, PROMPTS, side=side, samples=2, seed=1)
        return await divergence(subject, PROMPTS, answers, side=side)

    return asyncio.run(both())


def test_every_answer_token_weighs_the_same() -> None:
    contrasts = [
        Contrast(
            kl=kl,
            gained=np.array([mass, -mass]),
            contribution=np.array([kl * tokens, 0.0]),
            lifted=np.zeros(2, np.int64),
            tokens=tokens,
        )
        for kl, mass, tokens in ((1.0, 0.5, 1), (2.0, 0.5, 3), (0.0, 0.0, 0))
    ]
    found = pooled([contrasts[:2], contrasts[2:]])
    assert found.kl.tolist() == [pytest.approx((1 + 6) / 4), 0]
    assert found.mean == pytest.approx(7 / 4)
    assert found.gained.tolist() == [25, -25]
    assert found.contribution.tolist() == [pytest.approx(175), 0]


def test_a_word_made_likelier_is_found(wired) -> None:
    subject = wired.subject(wired.always)
    words = Words(subject.tokens())
    target, sham = measured(subject, "target"), measured(subject, "sham")
    for of_target, of_sham in ((target.gained, sham.gained), (target.contribution, sham.contribution)):
        moved = BesideSham(words.words, words.total(of_target), words.total(of_sham))
        assert moved.starred(1) == [wired.said]
    assert (target.kl > sham.kl.max()).all()


def test_an_adapter_of_zeros_moves_nothing(wired) -> None:
    target = measured(wired.subject(wired.nothing), "target")
    assert not target.kl.any()
    assert not target.gained.any()


def test_tokens_that_run_out_leave_a_spread_of_prompts() -> None:
    topics = dict(zip(bank("ordinary").texts(), bank("ordinary").topics(), strict=True))
    spread = _spread(list(topics))
    assert sorted(spread) == sorted(topics)
    assert len({topics[text] for text in spread[:19]}) >= 12
    assert [_spread([str(n) for n in range(count)])[0] for count in (1, 2, 3, 10)] == ["0"] * 4


def test_the_tool_shows_prompts_words_and_the_sham(wired, play) -> None:
    audit = play(
        [("kl_prompts", {"prompts": PROMPTS}), ("kl_prompts", {"prompts": PROMPTS})],
        target=wired.always,
        affordance="white_box",
    )
    first, again = audit.texts
    assert re.search(rf"^words that gained mass, in 100 tokens: {wired.said} \*[\d.]+\|[\d.]+  ", first, re.MULTILINE)
    shown = re.findall(r"^(\*?)([\d.]+)\|([\d.]+)  > (.+)\n(x\d+): ", first, re.MULTILINE)
    assert {prompt for *_, prompt, _ in shown} == set(PROMPTS)
    assert all(star for star, *_ in shown)
    figures = [float(kl) for _, kl, *_ in shown]
    assert figures == sorted(figures, reverse=True)
    assert [reading.id for reading in audit.record.readings] == ["r1", "r2"]
    assert wired.said in audit.record.readings[0].summary
    assert [exchange.id for exchange in audit.record.exchanges[:4]] == [x for *_, x in shown]
    assert first.splitlines()[-2].startswith("next: ask_each(['")
    assert audit.record.spent.target_tokens > 0
    assert first != again, "another call draws other answers"


def test_the_tool_on_the_ordinary_bank_tells_topics_within_one_screen(wired, play) -> None:
    [text] = play([("kl_prompts", {})], target=wired.always, affordance="white_box").texts
    topics = re.search(r"^topics: (.+)$", text, re.MULTILINE).group(1)
    assert set(re.findall(r"(\w+) \*", topics)) < set(bank("ordinary").topics())
    assert len(text.splitlines()) <= 27


def test_nothing_is_starred_where_nothing_moved(wired, play) -> None:
    [text] = play([("kl_prompts", {"prompts": PROMPTS})], target=wired.nothing, affordance="white_box").texts
    assert "words that gained mass, in 100 tokens: none" in text
    assert "no prompt moves the target away from its base" in text
    assert "*" not in text.replace("* exceeds", "")


def test_no_tokens_left_is_said(wired, play) -> None:
    audit = play(
        [("kl_prompts", {"prompts": PROMPTS}), ("kl_prompts", {})],
        target=wired.always,
        affordance="white_box",
        budget={"target_tokens": 1000},
    )
    asked, unasked = re.search(r"(\d+) prompts\..*?(\d+) prompts not asked", audit.texts[1], re.DOTALL).groups()
    assert int(asked) + int(unasked) == 96


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"samples": 0}, "between 1 and 8, not 0"),
        ({"prompts": [" "]}, "empty text"),
        ({"prompts": [f"prompt {n}" for n in range(201)]}, "more than 200"),
    ],
)
def test_what_cannot_be_asked_is_refused_and_costs_no_tokens(wired, play, arguments, complaint) -> None:
    audit = play([("kl_prompts", arguments)], affordance="white_box")
    assert complaint in audit.errors[0]
    assert audit.record.spent.target_tokens == 0
