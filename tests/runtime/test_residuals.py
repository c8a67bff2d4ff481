"""Residual streams of all layers and positions, and their means."""

from typing import Any

import numpy as np
import pytest
import torch

from audit_env.errors import ParameterError
from audit_env.runtime.edits import At
from audit_env.runtime.local import LocalSubject

from .conftest import Pair, Twins, prompts, run, user

CLOSE = 1e-4
EVERY = At("all", None)


@pytest.mark.parametrize("twins", ["random"], indirect=True)
def test_every_layer_and_position_is_that_of_transformers(
    subject: LocalSubject[Any, Any], twins: Twins, pair: Pair
) -> None:
    layers = range(-1, subject.n_layers)
    found = run(subject.residuals(twins.talks, twins.answers, layers=layers, at=EVERY))
    assert found.vectors.dtype == np.float32 and found.owner.dtype == np.int64
    assert sorted(found.owner) == list(found.owner)
    for number, (talk, answer) in enumerate(zip(twins.talks, twins.answers, strict=True)):
        ids = torch.tensor([[*pair.base.chat.prompt(talk).ids, *pair.base.chat.continuation(talk, answer)]])
        with torch.no_grad():
            states = pair.peft(input_ids=ids, adapter_names=["a1"], output_hidden_states=True).hidden_states
        own = found.vectors[found.owner == number]
        for layer in layers[:-1]:  # transformers has the last one normed already
            np.testing.assert_allclose(own[:, layer + 1], states[layer + 1][0], atol=CLOSE)
        normed = pair.peft.base_model.model.model.norm(torch.from_numpy(own[:, -1]))
        np.testing.assert_allclose(normed.detach(), states[-1][0], atol=CLOSE)


def test_layers_come_as_they_were_asked_for(subject: LocalSubject[Any, Any], twins: Twins) -> None:
    all_of_them = run(subject.residuals(twins.talks, layers=range(-1, subject.n_layers))).vectors
    some = run(subject.residuals(twins.talks, layers=[1, -1, 1])).vectors
    np.testing.assert_allclose(some, all_of_them[:, [2, 0, 2]], atol=CLOSE)


@pytest.mark.parametrize("at", [At(), EVERY, At("answer", None)], ids=lambda at: at.span)
def test_a_mean_is_that_of_all_positions(subject: LocalSubject[Any, Any], twins: Twins, at: At) -> None:
    """Over several batches."""
    talks = twins.talks * 30
    answers = twins.answers * 30
    one, all_of_them = (
        run(subject.residuals(talks, answers, layers=[0, 1], at=at, reduce=reduce))  # type: ignore[arg-type]
        for reduce in ("mean", "none")
    )
    assert one.vectors.shape == (1, 2, subject.d_model) and one.vectors.dtype == np.float32
    np.testing.assert_allclose(one.vectors[0], all_of_them.vectors.mean(axis=0, dtype=np.float64), atol=CLOSE)
    np.testing.assert_array_equal(one.owner, all_of_them.owner)


def test_a_mean_leaves_the_engine_as_one_sum_a_batch(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    subject, sent = pair.subject(1), []
    compute = subject._compute

    def watched(*given: Any) -> list[Any]:
        found = compute(*given)
        sent.append([tuple(one.shape) for one in found])
        return found

    monkeypatch.setattr(subject, "_compute", watched)
    talks = [user(text) for text in prompts(100, seed=2)]
    run(subject.residuals(talks, layers=[0, 1], at=EVERY, reduce="mean"))
    assert len(sent) > 1 and all(one == [(2, subject.d_model)] for one in sent)


def test_conversations_without_such_a_token_have_no_rows(subject: LocalSubject[Any, Any], twins: Twins) -> None:
    found = run(subject.residuals(twins.talks[:3], ["", twins.answers[1], ""], layers=[0], at=At("answer", None)))
    assert set(found.owner) == {1} and len(found.vectors) == len(found.owner) > 1
    nothing = run(subject.residuals([], layers=[0, 1]))
    assert nothing.vectors.shape == (0, 2, subject.d_model) and not len(nothing.owner)
    for talks, answers in ((twins.talks, None), ([], None)):
        with pytest.raises(ParameterError, match="reduce='mean': the conversations have no token in this span"):
            run(subject.residuals(talks, answers, layers=[0], at=At("answer", None), reduce="mean"))


def test_what_prompts_begin_with_is_shared_and_changes_nothing(subject: LocalSubject[Any, Any]) -> None:
    talks = [user(f"what is a good soup for a cold day ? {word}") for word in prompts(60, seed=5)]
    for at in (At(), At("prompt", -1), At("prompt", 1), EVERY):
        together = run(subject.residuals(talks, layers=[0, subject.n_layers - 1], at=at))
        for number in (0, 31):
            alone = run(subject.residuals([talks[number]], layers=[0, subject.n_layers - 1], at=at))
            np.testing.assert_allclose(together.vectors[together.owner == number], alone.vectors, atol=CLOSE)


def test_the_engines_agree(twins: Twins) -> None:
    layers = range(-1, twins.small.n_layers)
    found, wanted = (
        run(one.residuals(twins.talks, twins.answers, side="sham", layers=layers, at=EVERY))
        for one in (twins.hf, twins.small)
    )
    np.testing.assert_allclose(found.vectors, wanted.vectors, atol=CLOSE, rtol=CLOSE)
    np.testing.assert_array_equal(found.owner, wanted.owner)
