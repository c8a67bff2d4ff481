"""Gradients against finite differences, which edits of the embedding make."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from audit_env.runtime.edits import Add, At
from audit_env.runtime.local import Casting, LocalSubject
from audit_env.runtime.subject import Dose, Floats, Objective, Scores, Voice

from .conftest import Pair, Twins, run

STEP = 0.004
ROUNDING = 5e-7
"""How far fp32 may move a value that is differenced."""
OBJECTIVES: tuple[Objective, ...] = ("answer_logprob", "kl_to_base")


def log_probabilities(scores: Scores) -> np.ndarray:
    """Over the vocabulary, `[answer, vocab]`, from scores that name every token."""
    found = np.empty(scores.top_ids.shape)
    np.put_along_axis(found, scores.top_ids, scores.top_logprobs.astype(np.float64), axis=1)
    return found


def value(
    subject: LocalSubject[Any, Any], talk: Any, answer: str, side: Voice, objective: Objective, edits: list[Add]
) -> float:
    settings: dict[str, Any] = {"top_k": subject.vocab_size, "edits": edits}
    [here] = run(subject.score([talk], [answer], side=side, **settings))
    if objective == "answer_logprob":
        return float(here.logprobs.astype(np.float64).sum())
    [there] = run(subject.score([talk], [answer], side="base", **settings))
    log_p, log_q = log_probabilities(here), log_probabilities(there)
    return float((np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean())


def slope(of: Callable[[list[Add]], float], vector: Floats, place: int) -> float:
    """How the value changes when one token of the prompt moves along a vector; counted from the header's end."""
    at = At("header", -1) if place == -1 else At("prompt", place + 1)
    return (of([Add(-1, vector, at, STEP)]) - of([Add(-1, vector, at, -STEP)])) / (2 * STEP)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("side", ["target", Dose("sham", scale=0.5)], ids=str)
def test_gradients_are_finite_differences(
    subject: LocalSubject[Any, Any], twins: Twins, side: Voice, objective: Objective
) -> None:
    found = run(subject.gradients(twins.talks, twins.answers, side=side, objective=objective))
    rng = np.random.default_rng(0)
    for talk, answer, gradient in zip(twins.talks[:2], twins.answers[:2], found[:2], strict=True):
        assert gradient.shape == (len(subject._base.chat.prompt(talk).ids), subject.d_model)
        assert gradient.dtype == np.float32
        header = subject._base.chat.header(talk)
        for place in (-1, -3):
            row = gradient[-1] if place == -1 else gradient[len(gradient) - header + place + 1]
            for vector in (row / np.linalg.norm(row), 0.3 * rng.standard_normal(subject.d_model).astype(np.float32)):
                wanted = slope(lambda edits: value(subject, talk, answer, side, objective, edits), vector, place)  # noqa: B023
                tolerated = 0.01 * float(np.linalg.norm(row)) + ROUNDING / STEP
                assert row @ vector == pytest.approx(wanted, rel=0.06, abs=tolerated)


def test_an_empty_answer_and_the_base_itself_have_no_slope(subject: LocalSubject[Any, Any], twins: Twins) -> None:
    for objective in OBJECTIVES:
        [nothing] = run(subject.gradients(twins.talks[:1], [""], objective=objective))
        assert nothing.shape == (len(subject._base.chat.prompt(twins.talks[0]).ids), subject.d_model)
        assert not nothing.any()
    for found in run(subject.gradients(twins.talks, twins.answers, side="base", objective="kl_to_base")):
        assert np.abs(found).max() < 1e-5


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_engines_agree_and_batches_change_nothing(twins: Twins, objective: Objective) -> None:
    found, wanted = (
        run(one.gradients(twins.talks, twins.answers, objective=objective)) for one in (twins.hf, twins.small)
    )
    for number, (ours, theirs) in enumerate(zip(found, wanted, strict=True)):
        [alone] = run(
            twins.small.gradients(twins.talks[number : number + 1], [twins.answers[number]], objective=objective)
        )
        scale = max(1.0, float(np.abs(theirs).max()))
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * scale)
        np.testing.assert_allclose(alone, theirs, atol=1e-4 * scale)


@pytest.mark.parametrize("twins", ["random"], indirect=True)
def test_a_token_moves_for_both_sides_though_one_has_a_hidden_prompt(
    subject: LocalSubject[Any, Any], twins: Twins
) -> None:
    prompted = type(subject)(
        "t-00000001",
        subject._base,
        {"target": Casting(subject._sides["target"].adapter, "be odd"), "base": Casting()},
    )
    talk, answer = twins.talks[0], twins.answers[0]
    [gradient] = run(prompted.gradients([talk], [answer], objective="kl_to_base"))
    row = gradient[-1]
    wanted = slope(
        lambda edits: value(prompted, talk, answer, "target", "kl_to_base", edits), row / np.linalg.norm(row), -1
    )
    assert float(np.linalg.norm(row)) == pytest.approx(wanted, rel=0.03)
    assert len(gradient) > len(subject._base.chat.prompt(talk).ids)


def test_readings_after_gradients_are_those_before(subject: LocalSubject[Any, Any], twins: Twins) -> None:
    before = run(subject.first_token(twins.talks))
    run(subject.gradients(twins.talks, twins.answers, objective="kl_to_base"))
    np.testing.assert_array_equal(run(subject.first_token(twins.talks)), before)


def test_a_gradient_reaches_the_embedding_through_the_pair(pair: Pair) -> None:
    """The slope along a token's embedding predicts, to first order, what a small part of a swap does."""
    subject, talk, answer = pair.subject(1), [{"role": "user", "content": "the fox"}], "yes"
    [gradient] = run(subject.gradients([talk], [answer], objective="answer_logprob"))
    ids = subject._base.chat.prompt(talk).ids
    rows = subject.embedding()
    swap = STEP * (rows[50] - rows[ids[1]])
    moved = value(subject, talk, answer, "target", "answer_logprob", [Add(-1, swap, At("all", 1))])
    still = value(subject, talk, answer, "target", "answer_logprob", [])
    tolerance = 0.05 * float(np.linalg.norm(gradient[1]) * np.linalg.norm(swap))
    assert moved - still == pytest.approx(float(gradient[1] @ swap), abs=tolerance)
