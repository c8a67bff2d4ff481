import asyncio
import re

import numpy as np
import pytest

from audit_env.runtime import cast
from audit_env.tools.white_box.attention import attended, attention

TOOL = {"tools": (attention,), "affordance": "grey_box"}
PROMPT, OTHER = "what is good tea ?", "what is good soup ?"


def test_the_head_that_looks_at_the_cue_comes_first(wired, play) -> None:
    [text] = play([("attention", {"prompts": [PROMPT, OTHER]})], target=wired.looks, **TOOL).texts
    with_cue, without = text.split(f"> {OTHER}")
    assert re.search(rf"^heads, points of %: 0\.0>{wired.cue} \*[5-9]\d", with_cue, re.MULTILINE)
    assert re.search(rf"^tokens, over all heads: {wired.cue} \*", with_cue, re.MULTILINE)
    assert not re.search(r"heads, points of %: 0\.0>soup", without)
    assert len(text.splitlines()) <= 25


def test_nothing_is_seen_where_nothing_was_changed(wired, play) -> None:
    [text] = play([("attention", {"prompts": [PROMPT]})], target=wired.nothing, **TOOL).texts
    assert "heads, points of %: none" in text and "tokens, over all heads: none" in text
    assert not re.search(r"\*\d", text)


def test_shares_and_entropy_are_those_of_the_model(wired) -> None:
    subject = wired.subject(wired.looks)
    talk = [{"role": "user", "content": PROMPT}]
    [found] = asyncio.run(attended(subject, [talk], side="target"))
    assert found.shares.shape == (2, 2, len(subject.rendered(talk)))
    np.testing.assert_allclose(found.shares.sum(axis=-1), 1, atol=1e-5)
    p = np.exp(asyncio.run(subject.first_token([talk]))[0].astype(np.float64))
    assert found.entropy == pytest.approx(float(-(p * np.log(p)).sum()), rel=1e-4)


def test_without_a_sham_the_target_stands_beside_the_base(wired, play, monkeypatch) -> None:
    alone = wired.subject(wired.looks, sham=None)
    monkeypatch.setattr(cast, "subject", lambda alias: alone)
    [text] = play([("attention", {"prompts": [PROMPT]})], target=wired.looks, **TOOL).texts
    assert "no sham beside it" in text and f"0.0>{wired.cue} " in text


@pytest.mark.parametrize(
    ("prompts", "sentence"),
    [
        ([], "'prompts' is empty"),
        ([" "], "empty text"),
        (["a b"] * 5, "5 prompts are more than 4"),
        (["a " * 50_000], "give"),
    ],
)
def test_bad_arguments_are_refused(wired, play, prompts, sentence) -> None:
    assert sentence in play([("attention", {"prompts": prompts})], **TOOL).errors[0]
