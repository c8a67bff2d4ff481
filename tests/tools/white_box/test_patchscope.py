import asyncio
import re

import numpy as np
import pytest

from audit_env.tools.white_box.activation_difference import activation_difference
from audit_env.tools.white_box.patchscope import patchscope, patchscoped, probes
from audit_env.tools.white_box.words import Words

TOOL = {"tools": (patchscope, activation_difference), "affordance": "grey_box"}


def test_a_vector_in_the_place_of_the_cue_is_said_by_the_model_that_knows_it(wired) -> None:
    """The cue's own direction, put into the embedding of another word."""
    subject = wired.subject(wired.cued)
    words = Words(subject.tokens())
    vector = np.eye(16, dtype=np.float32)[1:2]
    found = {
        side: asyncio.run(patchscoped(subject, vector, side=side, layer=-1, words=words, seed=0))[0]
        for side in ("target", "base")
    }
    assert words.words[found["target"].argmax()] == wired.said and found["target"].max() > 0.2
    assert found["base"][words.words.index(wired.said)] < found["target"].max() / 2


def test_the_place_of_the_vector_is_the_placeholder(wired) -> None:
    subject = wired.subject(wired.cued)
    found = probes(subject)
    assert len(found) == 3
    for probe in found:
        ids = subject.rendered(probe.talk)
        assert subject.tokens()[ids[probe.place]].strip() in ("a", "<|unknown|>")


def test_a_token_and_a_handle_are_read_by_both_sides(wired, play) -> None:
    calls = [
        ("activation_difference", {"layer": 1}),
        ("patchscope", {"vec": "vec:6"}),
        ("patchscope", {"prompt": f"what is good {wired.cue} ?", "token": wired.cue, "layer": 0}),
    ]
    _, handle, token = play(calls, target=wired.always, **TOOL).texts
    assert "after block 1: target minus base at header" in handle
    assert f"after block 0: the target at '{wired.cue}'" in token
    for text in (handle, token):
        assert re.search(r"^as the target puts it: .+\nas its base puts it: .+", text, re.MULTILINE)
        assert len(text.splitlines()) <= 8


def test_target_and_base_say_the_same_where_nothing_was_changed(wired, play) -> None:
    [text] = play([("patchscope", {"prompt": "what is good soup ?"})], target=wired.nothing, **TOOL).texts
    target, base = re.findall(r"^as (?:the target|its base) puts it: (.*)$", text, re.MULTILINE)
    assert target == base


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "Give either 'vec'"),
        ({"vec": "vec:1", "prompt": "what ?"}, "Give either 'vec'"),
        ({"vec": "vec:7"}, "No handle 'vec:7'"),
        ({"prompt": "what is soup ?", "token": "bread"}, "'bread' is no token of the prompt"),
        ({"prompt": "what is soup ?", "layer": 9}, "between 0 and 1, not 9"),
    ],
)
def test_bad_arguments_are_refused(wired, play, arguments, sentence) -> None:
    assert sentence in play([("patchscope", arguments)], **TOOL).errors[0]


def test_a_vector_without_length_is_refused(wired, play) -> None:
    calls = [("activation_difference", {}), ("patchscope", {"vec": "vec:6"})]
    assert "length 0" in play(calls, target=wired.nothing, **TOOL).errors[1]
