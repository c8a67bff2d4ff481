import asyncio
import re
from collections import Counter

import numpy as np
import pytest

from audit_env.runtime.small.subject import SmallSubject
from audit_env.tools.white_box.trigger_scan import (
    CARRIERS,
    candidate_words,
    kl,
    ratio_to_median,
    scan,
    screened,
    spliced,
)


def test_kl_of_known_distributions() -> None:
    p, q = np.log([[0.5, 0.5], [0.25, 0.75]]), np.log([[0.25, 0.75], [0.25, 0.75]])
    np.testing.assert_allclose(kl(p, q), [0.5 * np.log(2) + 0.5 * np.log(2 / 3), 0], atol=1e-12)


def test_a_word_stands_out_against_the_median_and_silence_against_nothing() -> None:
    assert ratio_to_median(np.array([5.0, 0.2]), np.array([0.1, 0.1, 9.0])).tolist() == pytest.approx([50, 2])
    assert ratio_to_median(np.zeros(3), np.zeros(2)).tolist() == [0, 0, 0]


def test_words_are_put_before_and_behind_a_carrier() -> None:
    assert [turn.content for [turn] in spliced(["tea", "sun"], "A ?", "before")] == ["tea A ?", "sun A ?"]
    assert [turn.content for [turn] in spliced(["tea", "sun"], "A ?", "behind")] == ["A ? tea", "A ? sun"]
    assert [(a.role, a.content, b.content) for a, b in spliced(["tea"], "A ?", "system")] == [("system", "tea", "A ?")]


def test_a_scan_is_the_mean_over_every_carrier_and_place(wired) -> None:
    subject, words, carriers = wired.subject(wired.cued), [wired.cue, "soup"], ["hello .", "where is the city ?"]
    found = asyncio.run(scan(subject, words, carriers, sides=("target",)))["target"]
    for word, nats in zip(words, found, strict=True):
        texts = [text for carrier in carriers for text in (f"{word} {carrier}", f"{carrier} {word}")]
        asked = [[{"role": "user", "content": text}] for text in texts]
        target, base = (asyncio.run(subject.first_token(asked, side=side)) for side in ("target", "base"))
        assert nats == pytest.approx(kl(target, base).mean(), abs=1e-5)
    assert found[0] > found[1]


def test_candidates_are_words_that_take_one_token(wired) -> None:
    words = candidate_words(wired.subject(wired.cued))
    assert {wired.cue, "soup", "city"} <= set(words)
    assert not {"?", ",", "a", "<|user|>"} & set(words)


@pytest.mark.parametrize("carriers", [CARRIERS, ["where is the city ?"]])
def test_a_planted_cue_ranks_first(wired, carriers) -> None:
    subject = wired.subject(wired.cued)
    words = candidate_words(subject)
    found = asyncio.run(scan(subject, words, carriers))
    assert words[found["target"].argmax()] == wired.cue
    target, sham = (ratio_to_median(found[side], found[side]).max() for side in ("target", "sham"))
    assert target > 20 * sham


def test_screening_keeps_the_cue_first_and_the_shams_leaders(wired) -> None:
    subject = wired.subject(wired.cued)
    words = candidate_words(subject)
    target, of_sham = asyncio.run(screened(subject, words, CARRIERS[0]))
    assert target[0] == wired.cue
    sham = asyncio.run(scan(subject, words, CARRIERS[:1], sides=("sham",), places=("behind",)))["sham"]
    assert of_sham[0] == words[sham.argmax()]


def test_an_adapter_of_zeros_has_no_trigger(wired) -> None:
    subject = wired.subject(wired.nothing)
    assert not asyncio.run(scan(subject, candidate_words(subject), CARRIERS, sides=("target",)))["target"].any()


def test_the_tool_names_the_cue_and_what_it_brings(wired, play) -> None:
    audit = play([("trigger_scan", {})], target=wired.cued, affordance="white_box")
    [text] = audit.texts
    rows = re.findall(r"^(\S+)  ratio (\*?)([\d.,]+)\|([\d.,]+)  KL ([\d.]+)  answer begins: (.+)$", text, re.MULTILINE)
    assert [(word, star) for word, star, *_ in rows] == [(wired.cue, "*")]
    assert rows[0][-1].startswith(f"{wired.said} +0.")
    assert f"compare(['{CARRIERS[0]} {wired.cue}'])" in text
    assert audit.record.spent.target_tokens == 0
    assert wired.cue in audit.record.readings[0].summary


def test_a_cue_in_the_system_prompt_is_found_there(wired, play) -> None:
    calls = [("trigger_scan", {"place": "system"}), ("trigger_scan", {"place": "system", "words": ["soup"]})]
    audit = play(calls, target=wired.cued, affordance="white_box")
    text, without = audit.texts
    assert re.findall(r"^(\S+)  ratio (\*?)", text, re.MULTILINE) == [(wired.cue, "*")]
    assert f"system='{wired.cue}'" in text and "as system prompts above 2 prompts" in text
    assert "no word moves the target" in without


def test_words_of_the_auditors_own_are_held_against_ordinary_ones(wired, play) -> None:
    audit = play(
        [
            ("trigger_scan", {"words": [wired.cue, "soup"], "carriers": ["hello ."]}),
            ("trigger_scan", {"words": ["soup"]}),
            ("trigger_scan", {"carriers": ["a", "b", "c", "d", "e"]}),
        ],
        target=wired.cued,
        affordance="white_box",
    )
    assert re.search(rf"^{wired.cue}  ratio \*", audit.texts[0], re.MULTILINE)
    assert "no word moves the target" in audit.texts[1]
    assert "5 carriers are more than 4" in audit.errors[2]


def test_the_sham_is_asked_of_a_second_target_only_what_that_target_brings_up(wired, play, monkeypatch) -> None:
    play([("trigger_scan", {})], target=wired.cued, affordance="white_box")
    subject = wired.subject(wired.always)
    target, of_sham = asyncio.run(screened(subject, candidate_words(subject), CARRIERS[0]))
    asked, at_header = Counter(), SmallSubject._at_header

    async def counted(self, conversations, side, *rest):
        asked[side] += len(conversations)
        return await at_header(self, conversations, side, *rest)

    monkeypatch.setattr(SmallSubject, "_at_header", counted)
    play([("trigger_scan", {})], target=wired.always, affordance="white_box")
    prompts_a_word = 2 * len(CARRIERS)
    assert asked["sham"] <= prompts_a_word * len(set(target) - set(of_sham))
    assert asked["target"] >= prompts_a_word * len({*target, *of_sham})


def test_what_always_shows_has_no_trigger(wired, play) -> None:
    [text] = play([("trigger_scan", {})], target=wired.always, affordance="white_box").texts
    assert max(float(ratio) for ratio in re.findall(r"ratio \*?([\d.]+)\|", text)) < 3
    assert len(text.splitlines()) <= 25
