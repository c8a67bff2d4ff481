import asyncio
import re

import numpy as np
import pytest

from audit_env.tools.white_box.activations import header_difference, lens
from audit_env.tools.white_box.words import Words

PROMPTS = ["what is good soup ?", "where is the city ?"]


def test_the_word_that_is_always_written_shows_in_the_difference(wired) -> None:
    subject = wired.subject(wired.always)
    words = Words(subject.tokens())
    difference, share = asyncio.run(header_difference(subject, PROMPTS, side="target", layer=1))
    scores = asyncio.run(lens(subject, np.stack([difference, -difference]), words))
    assert words.words[scores[0, 0].argmax()] == wired.said
    assert words.words[scores[1, 1].argmax()] == wired.said
    np.testing.assert_allclose(scores[0], scores[1, ::-1], atol=1e-6)
    assert share > 0.1


def test_nothing_shows_before_the_layer_that_writes(wired) -> None:
    difference, share = asyncio.run(header_difference(wired.subject(wired.always), PROMPTS, side="target", layer=0))
    assert not difference.any()
    assert share == 0


def test_the_tool_stars_the_planted_word_and_nothing_without_one(wired, play) -> None:
    [planted] = play([("read_activations", {})], target=wired.always, affordance="white_box").texts
    assert re.search(rf"^target minus base \+: {wired.said} \*", planted, re.MULTILINE)
    assert re.search(rf"^minus the sham's \+: {wired.said} \*", planted, re.MULTILINE)
    [empty] = play([("read_activations", {})], target=wired.nothing, affordance="white_box").texts
    assert "length, % of the base's residual: none" in empty
    assert re.search(r"^target minus base \+: none$", empty, re.MULTILINE)


@pytest.mark.parametrize("layer", [-1, 2])
def test_a_layer_that_does_not_exist_is_refused(wired, play, layer) -> None:
    audit = play([("read_activations", {"layer": layer})], affordance="white_box")
    assert f"between 0 and 1, not {layer}" in audit.errors[0]
