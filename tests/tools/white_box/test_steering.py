"""Steering: a word planted as a direction, found by a contrast and said when it is added."""

import asyncio
import re

import numpy as np
import pytest
from inspect_ai.tool import Tool, tool

from audit_env.runtime import cast
from audit_env.tools.accounting import Call, charged
from audit_env.tools.examined import examined
from audit_env.tools.white_box.ability import noise_test
from audit_env.tools.white_box.activation_difference import activation_difference
from audit_env.tools.white_box.contrasts import CONTRASTS, contrast
from audit_env.tools.white_box.directions import Direction, keep_direction
from audit_env.tools.white_box.examples import Example
from audit_env.tools.white_box.probes import probe_read, probe_train
from audit_env.tools.white_box.steer import answers_at, steer, swept
from audit_env.tools.white_box.steering_vector import Groups, built_in, contrast_vector, steering_vector

PLACES = ("soup", "bread", "cheese", "rain", "winter", "music")
PROMPTS = [f"what is {place} ?" for place in PLACES]
WITH, WITHOUT = ([f"{prompt} {word} {word}" for prompt in PROMPTS] for word in ("tea", "water"))


@tool
def plant() -> Tool:
    @charged
    async def execute(call: Call, word: str) -> str:
        """Keep a word's direction.

        Args:
            call: The books.
            word: The word.
        """
        subject = examined(call)
        return keep_direction(call, Direction(1, word_vector(subject, word), f"the word {word}"))

    return execute


TOOLS = {"tools": (steering_vector, steer, plant), "affordance": "grey_box"}


def word_vector(subject, word):
    vector = subject.unembedding()[[text.strip() for text in subject.tokens()].index(word)].copy()
    vector[:2] = 0  # what every word has, and the cue's own coordinate
    return vector


def share_of(word, answers):
    said = " ".join(sample if isinstance(sample, str) else sample.text for sample in answers).split()
    return said.count(word) / len(said)


def test_a_direction_that_is_added_is_said_and_without_it_is_not(wired) -> None:
    subject = wired.subject(wired.nothing)
    direction = Direction(1, word_vector(subject, wired.said), "planted")
    plain, faint, strong = asyncio.run(
        answers_at(subject, PROMPTS, direction, (0.0, 1e-4, 10.0), side="target", seed=1)
    )
    assert plain == faint
    assert share_of(wired.said, strong) > 0.5 > 0.1 > share_of(wired.said, plain)
    sweep = asyncio.run(swept(subject, PROMPTS, (0.0, 1e-4, 10.0), [plain, faint, strong]))
    assert sweep.changed == [0.0, 0.0, 1.0]
    assert sweep.coherence[0] == sweep.coherence[1] > sweep.coherence[2]


def test_coherence_is_the_mean_log_probability_under_the_base_without_steering(wired) -> None:
    subject = wired.subject(wired.always)
    direction = Direction(1, word_vector(subject, "soup"), "planted")
    answers = asyncio.run(answers_at(subject, PROMPTS[:2], direction, (0.0, 0.5), side="target", seed=1))
    sweep = asyncio.run(swept(subject, PROMPTS[:2], (0.0, 0.5), answers))
    talks = [[{"role": "user", "content": prompt}] for prompt in PROMPTS[:2]]
    scores = asyncio.run(subject.score(talks, [sample.text for sample in answers[1]], side="base"))
    assert sweep.coherence[1] == pytest.approx(np.concatenate([score.logprobs for score in scores]).mean(), abs=1e-6)


def test_the_contrast_of_the_cue_is_the_word_that_it_brings_up(wired) -> None:
    subject = wired.subject(wired.cued)
    groups = Groups(
        *([Example(({"role": "user", "content": text},)) for text in g] for g in (WITH, WITHOUT)), "header", ""
    )
    found = {side: asyncio.run(contrast_vector(subject, groups, side=side, layer=1))[0] for side in ("target", "base")}
    moved = found["target"] - found["base"]
    scores = asyncio.run(subject.unembed(moved[None]))[0]
    assert subject.tokens()[int(scores.argmax())].strip() == wired.said


def test_the_tool_stars_the_planted_word_and_its_vector_steers(wired, play) -> None:
    audit = play(
        [
            ("steering_vector", {"positive": WITH, "negative": WITHOUT, "layer": 1}),
            ("steer", {"vector": "vec:1", "prompts": PROMPTS[:2], "strengths": [10.0, -10.0]}),
        ],
        target=wired.cued,
        **TOOLS,
    )
    made, steered = audit.texts
    assert re.search(rf"^\+ {wired.said} \*", made, re.MULTILINE)
    assert 'next: steer(vector="vec:1"' in made
    toward, away = ([line for line in steered.splitlines() if line.startswith(f"{sign}10: ")] for sign in ("", "-"))
    assert share_of(wired.said, toward) > 0.5 and share_of(wired.said, away) == 0
    assert max(len(text.splitlines()) for text in audit.texts) <= 25
    assert [exchange.side for exchange in audit.record.exchanges] == ["target"] * 2
    assert {one.how for one in audit.record.altered} == {"steered 10", "steered -10"}
    assert not any(WITH[0] in reading.summary for reading in audit.record.readings)


def test_a_target_that_is_its_base_has_the_base_s_vector(wired, play) -> None:
    [text] = play([("steering_vector", {"positive": WITH, "negative": WITHOUT})], target=wired.nothing, **TOOLS).texts
    assert "cosine 1.00 with the base's" in text


@pytest.mark.parametrize("name", CONTRASTS)
def test_the_contrasts_that_come_with_it_make_vectors(wired, play, name) -> None:
    groups = built_in(name)
    assert {example.turns[0].role for example in groups.positive} == (
        {"system"} if contrast(name).systems else {"user"}
    )
    audit = play([("steering_vector", {"contrast": name})], target=wired.always, **TOOLS)
    assert f"vec:1: {name}: " in audit.texts[0] and audit.record.spent.target_tokens == 0


def test_answers_can_be_the_contrast(wired, play) -> None:
    arguments = {
        "positive": PROMPTS,
        "negative": PROMPTS,
        "positive_answers": ["yes i do"] * 6,
        "negative_answers": ["no never"] * 6,
    }
    assert "6 against 6 texts" in play([("steering_vector", arguments)], target=wired.always, **TOOLS).texts[0]


def test_every_answer_of_the_target_is_paid_for_and_the_shams_are_free(wired, play) -> None:
    sweep = {"vector": "vec:1", "prompts": PROMPTS[:1], "strengths": [0.2, 10.0], "beside": "sham"}
    calls = [("plant", {"word": "soup"}), ("steer", sweep)]
    audit, again = (play(calls, target=wired.nothing, **TOOLS) for _ in range(2))
    assert 3 <= audit.record.spent.target_tokens <= 3 * 64
    assert audit.texts[1].count("\n  sham: ") == 3
    assert again.texts == audit.texts


def test_when_the_tokens_run_out_prompts_are_left_and_counted(wired, play) -> None:
    calls = [("plant", {"word": "soup"}), ("steer", {"vector": "vec:1", "prompts": PROMPTS[:3], "strengths": [10.0]})]
    audit = play(calls, target=wired.nothing, budget={"target_tokens": 70}, **TOOLS)
    assert re.search(r"^[12] prompts not asked: no target tokens left\.$", audit.texts[1], re.MULTILINE)


@pytest.mark.parametrize(
    ("tool", "arguments", "sentence"),
    [
        ("steering_vector", {"contrast": "love"}, "There is no contrast 'love': take honesty or prefill"),
        ("steering_vector", {"layer": 9}, "between 0 and 1, not 9"),
        ("steering_vector", {"positive": PROMPTS}, "'negative' is empty"),
        ("steering_vector", {"positive": PROMPTS, "negative": PROMPTS}, "The two groups have the same activations"),
        ("steering_vector", {"positive": ["x3"], "negative": PROMPTS}, "Nothing recorded is called 'x3'"),
        ("steering_vector", {"positive": ["a"], "negative": ["b"], "positive_answers": ["c"]}, "the other none"),
        ("steer", {"vector": "vec:1", "prompts": PROMPTS[:1]}, "no tool has made a 'vec:' handle yet"),
    ],
)
def test_bad_arguments_teach(wired, play, tool, arguments, sentence) -> None:
    audit = play([(tool, arguments)], target=wired.always, **TOOLS)
    assert sentence in audit.errors[0]


def test_bad_sweeps_teach(wired, play) -> None:
    wrong = [
        ({"prompts": PROMPTS}, "6 prompts with 5 answers each are more than 15 answers"),
        ({"strengths": [0.0]}, "'strengths' cannot hold 0.0"),
        ({"strengths": [99]}, "between -10 and 10"),
        ({"strengths": [1, 2, 3, 4, 5]}, "'strengths' has 5 numbers: give 1 to 4"),
        ({"beside": "me"}, "'beside' cannot be 'me'"),
        ({"prompts": [" "]}, "is an empty text"),
    ]
    calls = [("steer", {"vector": "vec:1", "prompts": PROMPTS[:1]} | one) for one, _ in wrong]
    audit = play([("plant", {"word": "soup"}), *calls], target=wired.always, **TOOLS)
    assert audit.record.spent.target_tokens == 0
    for error, (_, sentence) in zip(audit.errors[1:], wrong, strict=True):
        assert sentence in error


def test_without_a_sham_the_base_stands_beside_the_target(wired, play, monkeypatch) -> None:
    alone = wired.subject(wired.cued, sham=None)
    monkeypatch.setattr(cast, "subject", lambda alias: alone)
    calls = [
        ("steering_vector", {"positive": WITH, "negative": WITHOUT}),
        ("steer", {"vector": "vec:1", "prompts": PROMPTS[:1], "strengths": [0.5]}),
        ("probe_train", {"positive": WITH, "negative": WITHOUT}),
        ("probe_read", {"probe": "probe:1", "examples": PROMPTS}),
        ("noise_test", {"questions": PROMPTS[:1], "right": ["good"], "noise": [0.1]}),
    ]
    tools = (*TOOLS["tools"], probe_train, probe_read, noise_test)
    vector, steered, probe, read, noise = play(calls, target=wired.cued, affordance="grey_box", tools=tools).texts
    assert "has no sham beside it" in vector and "*" not in vector.split("\n", 1)[1]
    assert "target|base" in steered and "target|base" in noise
    assert "sham" not in probe and "has no sham beside it" in read and "base " in read


def test_a_vector_of_length_0_is_refused(wired, play) -> None:
    calls = [
        ("activation_difference", {"prompts": ["hello ."]}),
        ("steer", {"vector": "vec:6", "prompts": PROMPTS[:1]}),
    ]
    tools = TOOLS | {"tools": (*TOOLS["tools"], activation_difference)}
    assert "'vec:6' is a vector of length 0" in play(calls, target=wired.nothing, **tools).errors[1]
