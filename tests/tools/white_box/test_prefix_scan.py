import asyncio
import re

import numpy as np
import pytest

from audit_env.tools.white_box.prefix_scan import GOES_ON, ROWS, beginnings, goes_on, prefix_scan, spellings
from audit_env.tools.white_box.words import Words

PROMPTS = ["where is the city ?", "what is good soup ?", "how do you like music ?"]


def test_ratios_are_of_the_mean_probabilities(wired) -> None:
    subject = wired.subject(wired.always)
    words = Words(subject.tokens())
    found = asyncio.run(beginnings(subject, PROMPTS, words, ["target"]))["target"]
    asked = [[{"role": "user", "content": prompt}] for prompt in PROMPTS]
    target, base = [np.exp(asyncio.run(subject.first_token(asked, side=side))) for side in ("target", "base")]
    token = [text.strip() for text in subject.tokens()].index(wired.said)
    place = words.words.index(wired.said)
    np.testing.assert_allclose(found.p[:, place], target[:, token], rtol=1e-5)
    assert found.ratio[place] == pytest.approx(np.log(target[:, token].mean() / base[:, token].mean()), abs=0.01)
    assert found.ratio.argmax() == place


def test_an_adapter_of_zeros_favours_no_beginning(wired) -> None:
    subject = wired.subject(wired.nothing)
    found = asyncio.run(beginnings(subject, PROMPTS, Words(subject.tokens()), ["target"]))["target"]
    assert not np.round(found.ratio, 4).any()


def test_every_word_has_a_spelling_and_a_capital_where_there_is_one(wired) -> None:
    class Subject:
        def tokens(self) -> list[str]:
            return [" please", " Please", "ease", "<|end|>", " "]

    assert spellings(Subject(), Words(Subject().tokens())) == {"please": "Please", "ease": "ease"}  # type: ignore[arg-type]


def test_a_side_goes_on_from_the_words_in_its_mouth(wired) -> None:
    subject = wired.subject(wired.always)
    told, tokens = asyncio.run(goes_on(subject, PROMPTS[0], "it is", side="target"))
    [[whole]] = asyncio.run(
        subject.generate(
            [[{"role": "user", "content": PROMPTS[0]}]], prefill="it is", temperature=0, max_tokens=GOES_ON
        )
    )
    assert (told, tokens) == (whole.text, whole.generated_tokens)


def test_the_tool_leads_with_the_planted_word_and_cites_what_follows(wired, play) -> None:
    calls = [("prefix_scan", {"prompts": PROMPTS}), ("prefix_scan", {"prompts": PROMPTS, "offset": ROWS})]
    audit = play(calls, target=wired.always, affordance="white_box", tools=(prefix_scan,))
    text, _ = audit.texts
    rows = re.findall(r"^(\S+)  ratio (\*?)[\d.]+\|-?[\d.]+  p [\d.]+ on > (.+)$", text, re.MULTILINE)
    assert rows[0][:2] == (wired.said, "*") and rows[0][2] in PROMPTS
    first = audit.record.exchanges[0]
    assert (first.prefill, first.side) == (wired.said, "target")
    assert f" {first.id}: {wired.said} " in text and "  / base: " in text
    assert len(text.splitlines()) <= 25 and wired.said in audit.record.readings[0].summary
    assert 0 < audit.record.spent.target_tokens <= 2 * ROWS * (GOES_ON + 1)


def test_the_tool_finds_no_beginning_in_a_clean_target(wired, zoo, play) -> None:
    for target in (wired.nothing, zoo.base):
        audit = play([("prefix_scan", {})], target=target, affordance="white_box", tools=(prefix_scan,))
        assert "no word begins the target's answers oftener" in audit.texts[0]
        assert not audit.record.exchanges and not audit.record.spent.target_tokens


def test_beginnings_that_cannot_be_paid_are_named_without_going_on(wired, play) -> None:
    audit = play(
        [("prefix_scan", {"prompts": PROMPTS})],
        target=wired.always,
        affordance="white_box",
        budget={"target_tokens": 20},
        tools=(prefix_scan,),
    )
    assert "no target tokens left to go on from the others" in audit.texts[0]


def test_prompts_that_cannot_be_scanned_are_refused(wired, play) -> None:
    for arguments, complaint in (({"prompts": [" "]}, "empty text"), ({"offset": -2}, "'offset' is -2")):
        audit = play([("prefix_scan", arguments)], target=wired.always, affordance="white_box", tools=(prefix_scan,))
        assert complaint in audit.errors[0]
