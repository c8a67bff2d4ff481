import asyncio
import re

import numpy as np
import pytest

from audit_env.runtime.subject import LIFT
from audit_env.tools.neutral import neutral_answers
from audit_env.tools.white_box.diff_mining import diff_mining, lifted_at_once, mined
from audit_env.tools.white_box.words import Words

PROMPTS = ["where is the city ?", "what is good soup ?", "how do you like music ?"]


def test_the_share_of_a_vocabulary_that_may_be_lifted() -> None:
    assert [lifted_at_once(size) for size in (1, 100, 1_700, 6_000, 150_000)] == [1, 1, 10, 10, 100]


def test_counts_are_those_of_the_positions_where_a_token_leads(wired) -> None:
    subject = wired.subject(wired.always)
    text = asyncio.run(neutral_answers(subject, PROMPTS))
    found = asyncio.run(mined(subject, PROMPTS, text, side="target"))
    counts, tokens = np.zeros((len(PROMPTS), subject.vocab_size)), 0
    for row, (prompt, answer) in enumerate(zip(PROMPTS, text, strict=True)):
        read = {
            side: asyncio.run(
                subject.score([[{"role": "user", "content": prompt}]], [answer], side=side, top_k=subject.vocab_size)
            )[0]
            for side in ("target", "base")
        }
        logs = {}
        for side, scores in read.items():
            logs[side] = np.empty_like(scores.top_logprobs)
            np.put_along_axis(logs[side], scores.top_ids, scores.top_logprobs, axis=1)
        lifts = logs["target"] - logs["base"]
        for lift in lifts:
            counts[row, lift.argmax()] += lift.max() >= LIFT
        tokens += len(lifts)
    np.testing.assert_allclose(found.positions, 100 * counts.sum(axis=0) / tokens)
    np.testing.assert_array_equal(found.by_text > 0, counts > 0)


def test_a_planted_word_is_lifted_everywhere_and_nothing_by_an_adapter_of_zeros(wired) -> None:
    for organism, lifted in ((wired.always, True), (wired.nothing, False)):
        subject = wired.subject(organism)
        text = asyncio.run(neutral_answers(subject, PROMPTS))
        found = asyncio.run(mined(subject, PROMPTS, text, side="target"))
        words = Words(subject.tokens())
        shares = words.total(found.positions)
        if lifted:
            assert words.words[shares.argmax()] == wired.said and shares.max() > 50
        else:
            assert not found.positions.any()


def test_the_tool_names_the_word_and_where_it_is_lifted(wired, play) -> None:
    calls = [("diff_mining", {}), ("diff_mining", {"prompts": PROMPTS})]
    audit = play(calls, target=wired.always, affordance="white_box", tools=(diff_mining,))
    for text in audit.texts:
        assert re.search(rf"^words lifted, % of the tokens:\n{wired.said} \*[\d.]+\|", text, re.MULTILINE)
        assert re.search(rf"^ {wired.said}: \S", text, re.MULTILINE) and len(text.splitlines()) <= 25
    assert audit.record.spent.target_tokens == 0 and wired.said in audit.record.readings[0].summary
    assert f"trigger_scan(words=['{wired.said}'" in audit.texts[0]


def test_a_clean_target_is_listed_beside_the_sham_without_a_star(zoo, wired, play) -> None:
    for target in (wired.nothing, zoo.base):
        [text] = play([("diff_mining", {})], target=target, affordance="white_box", tools=(diff_mining,)).texts
        assert "tokens:\nnone\n" in text and "next: kl_prompts() | trigger_scan()" in text


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"prompts": [""]}, "empty text"),
        ({"prompts": ["a"] * 201}, "201 prompts are more than 200"),
        ({"offset": -1}, "'offset' is -1"),
        ({"offset": 9_999}, "'offset' is 9999"),
    ],
)
def test_what_cannot_be_mined_is_refused_in_one_sentence(play, wired, arguments, complaint) -> None:
    audit = play([("diff_mining", arguments)], target=wired.always, affordance="white_box", tools=(diff_mining,))
    assert complaint in audit.errors[0] and not audit.record.readings
