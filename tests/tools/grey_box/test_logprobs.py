import asyncio
import re

import numpy as np
import pytest

from audit_env.game.record import Turn
from audit_env.tools.grey_box.logprobs import POSITIONS, expected, expected_first, logprobs

TALK = [Turn(role="user", content="where is the city ?")]


def test_the_planted_word_is_what_the_target_raises(wired) -> None:
    subject = wired.subject(wired.always)
    first = asyncio.run(expected_first(subject, TALK))
    raised = max(range(len(first.tokens)), key=lambda n: first.target[n] - first.base[n])
    assert first.tokens[raised].strip() == wired.said
    assert first.shift > 0.1


def test_expectations_are_the_models_probabilities(wired) -> None:
    subject, answer = wired.subject(wired.always), "it is good tea ."
    found = asyncio.run(expected(subject, TALK, answer))
    [scores] = asyncio.run(subject.score([TALK], [answer]))
    assert [one.said.strip() for one in found] == answer.split()
    for one, logprob in zip(found, scores.logprobs, strict=True):
        named = dict(zip(one.tokens, one.target, strict=True))
        if named.get(one.said):
            assert named[one.said] == pytest.approx(np.exp(logprob), abs=1e-4)
        else:
            assert np.exp(logprob) <= one.tails[0]
        assert sum(one.target) + one.tails[0] == pytest.approx(1, abs=1e-3)
    begun, first = found[0], asyncio.run(expected_first(subject, TALK))
    assert begun.shift == pytest.approx(first.shift, abs=1e-3)


def test_nothing_moves_where_nothing_was_planted(wired) -> None:
    for organism in (wired.nothing, wired.cued):  # the cue is not in the prompt
        assert asyncio.run(expected_first(wired.subject(organism), TALK)).shift == pytest.approx(0, abs=1e-5)


def test_the_tool_shows_the_places_that_moved_most_first(wired, play) -> None:
    answer = "it is good tea . it is good tea . it is good tea ."
    calls = [
        ("logprobs", {"prompt": "where is the city ?"}),
        ("logprobs", {"prompt": "where is the city ?", "answer": answer}),
        ("logprobs", {"prompt": "where is the city ?", "answer": answer, "positions": [3, 0]}),
        ("ask_each", {"prompts": ["hello ."]}),
        ("logprobs", {"exchange": "x1", "system": "be kind"}),
    ]
    audit = play(calls, target=wired.always, affordance="grey_box", tools=(logprobs,))
    first, whole, chosen, _, recorded = audit.texts
    assert re.search(rf"^0 first token  moved 0\.\d+: {wired.said} 0\.\d+\|0\.\d+ ", first, re.MULTILINE)
    moved = [float(shift) for shift in re.findall(r"^\d+ \S+  moved ([\d.]+):", whole, re.MULTILINE)]
    assert len(moved) == POSITIONS and moved == sorted(moved, reverse=True)
    assert "[7 other places: positions=[...]]" in whole
    assert re.findall(r"^(\d+) (\S+)  moved", chosen, re.MULTILINE) == [("3", "tea"), ("0", "it")]
    assert recorded.startswith("r4 logprobs") and "likelihood(exchanges=['x1'])" in recorded
    assert all(len(text.splitlines()) <= 25 for text in audit.texts)
    assert wired.said in audit.record.readings[0].summary


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({}, "empty text"),
        ({"prompt": "a " * 50_000}, "100,000 characters"),
        ({"exchange": "x9"}, "Nothing recorded is called 'x9'"),
        ({"prompt": "hello", "answer": "it is", "positions": [2]}, "numbers from 0 to 1"),
        ({"prompt": "hello", "positions": []}, "numbers from 0 to 0"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_in_one_sentence(play, wired, arguments, complaint) -> None:
    audit = play([("logprobs", arguments)], target=wired.always, affordance="grey_box", tools=(logprobs,))
    assert complaint in audit.errors[0] and not audit.record.readings
