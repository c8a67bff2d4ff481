"""Scores of given answers against a plain computation in transformers and numpy."""

from typing import Any

import numpy as np
import pytest
import torch

from audit_env.errors import ParameterError
from audit_env.runtime.local import LocalSubject
from audit_env.runtime.readings import scores as scores_of
from audit_env.runtime.subject import Side

from .conftest import Pair, Twins, run

CLOSE = 1e-4
NAMES: dict[Side, str] = {"target": "a1", "base": "__base__", "sham": "a2"}


def plain(pair: Pair, talk: Any, answer: str, name: str) -> tuple[np.ndarray, list[int]]:
    """Probabilities at each answer token by transformers, fp64, `[answer, vocab]`; and the answer's ids."""
    prompt = list(pair.base.chat.prompt(talk).ids)
    said = pair.base.chat.continuation(talk, answer)
    with torch.no_grad():
        logits = pair.peft(input_ids=torch.tensor([[*prompt, *said]]), adapter_names=[name]).logits[0]
    return logits[len(prompt) - 1 : -1].double().softmax(-1).numpy()[: len(said)], said


@pytest.mark.parametrize("twins", ["random"], indirect=True)
@pytest.mark.parametrize("side", NAMES)
def test_scores_equal_a_computation_by_hand(
    subject: LocalSubject[Any, Any], twins: Twins, pair: Pair, side: Side
) -> None:
    k = 7
    for talk, answer, found in zip(
        twins.talks, twins.answers, run(subject.score(twins.talks, twins.answers, side=side, top_k=k)), strict=True
    ):
        p, said = plain(pair, talk, answer, NAMES[side])
        ordered = -np.sort(-p, axis=1)
        np.testing.assert_allclose(found.logprobs, np.log(p[range(len(said)), said]), atol=CLOSE)
        np.testing.assert_allclose(found.entropy, -(p * np.log(p)).sum(axis=1), atol=CLOSE)
        np.testing.assert_allclose(found.top_logprobs, np.log(ordered[:, :k]), atol=CLOSE)
        np.testing.assert_allclose(np.exp(found.top_logprobs), np.take_along_axis(p, found.top_ids, axis=1), atol=CLOSE)
        np.testing.assert_allclose(found.tail, ordered[:, k:].sum(axis=1), atol=1e-5)
        assert found.top_ids.shape == found.top_logprobs.shape == (len(said), k)
        assert found.exact


def test_the_likeliest_tokens_and_the_tail_are_everything(subject: LocalSubject[Any, Any], twins: Twins) -> None:
    for k in (0, 1, 5, subject.vocab_size):
        for found in run(subject.score(twins.talks, twins.answers, top_k=k)):
            np.testing.assert_allclose(np.exp(found.top_logprobs).sum(axis=1) + found.tail, 1, atol=1e-5)
            assert found.top_ids.dtype == np.int64 and found.top_ids.shape[1] == k
            if k == 0:
                assert (found.tail == 1).all()
            if k == subject.vocab_size:
                assert (found.tail == 0).all()
                assert (np.sort(found.top_ids, axis=1) == np.arange(k)).all()


def test_a_small_tail_keeps_its_digits() -> None:
    """One minus the sum of the others would be all rounding."""
    logits = torch.tensor([[0.0, -20.0, -21.0]])
    found = scores_of([logits], [0], top_k=1)
    assert found.tail[0] == pytest.approx(np.exp(-20) + np.exp(-21), rel=1e-4)


def test_chunks_make_one_answer() -> None:
    logits = torch.randn(5, 11, generator=torch.Generator().manual_seed(0))
    whole, parts = scores_of([logits], [3, 1, 4, 1, 5], 2), scores_of(torch.split(logits, 2), [3, 1, 4, 1, 5], 2)
    for field in ("logprobs", "entropy", "top_ids", "top_logprobs", "tail"):
        np.testing.assert_array_equal(getattr(whole, field), getattr(parts, field))


def test_the_engines_agree(twins: Twins) -> None:
    found, wanted = (
        run(one.score(twins.talks, twins.answers, side="sham", top_k=4)) for one in (twins.hf, twins.small)
    )
    for ours, theirs in zip(found, wanted, strict=True):
        for field in ("logprobs", "entropy", "top_logprobs", "tail"):
            np.testing.assert_allclose(getattr(ours, field), getattr(theirs, field), atol=CLOSE)


@pytest.mark.parametrize("top_k", [-1, 100_000])
def test_more_tokens_than_there_are_is_refused(subject: LocalSubject[Any, Any], twins: Twins, top_k: int) -> None:
    with pytest.raises(ParameterError, match=f"top_k={top_k}: it must lie between 0 and the {subject.vocab_size}"):
        run(subject.score(twins.talks, twins.answers, top_k=top_k))
