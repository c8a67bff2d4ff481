"""Contrasts count the tokens that a side lifts most."""

import numpy as np
import pytest

from audit_env.errors import ParameterError
from audit_env.runtime.hf import model as hf_model
from audit_env.runtime.subject import LIFT

from .conftest import Twins, run


def test_lifted_tokens_are_those_that_rise_most_at_each_position(twins: Twins) -> None:
    small = twins.small
    logs = []
    for side in ("target", "base"):
        scores = run(small.score(twins.talks[:2], twins.answers[:2], side=side, top_k=small.vocab_size))
        for one in scores:
            full = np.empty_like(one.top_logprobs)
            np.put_along_axis(full, one.top_ids, one.top_logprobs, axis=1)
            logs.append(full)
    found = run(small.contrast(twins.talks[:2], twins.answers[:2], top_k=5))
    for one, target, base in zip(found, logs[:2], logs[2:], strict=True):
        lifts = target - base
        best = np.argsort(-lifts, axis=1)[:, :5]
        wanted = np.bincount(best[np.take_along_axis(lifts, best, 1) >= LIFT], minlength=small.vocab_size)
        np.testing.assert_array_equal(one.lifted, wanted)
        assert one.lifted.sum() == 5 * one.tokens


def test_the_engines_count_alike_however_few_logits_are_in_memory(
    twins: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = run(twins.small.contrast(twins.talks, twins.answers, top_k=3))
    for logits in (hf_model.LOGITS, 2 * twins.hf.vocab_size):
        monkeypatch.setattr(hf_model, "LOGITS", logits)
        for ours, theirs in zip(run(twins.hf.contrast(twins.talks, twins.answers, top_k=3)), wanted, strict=True):
            assert np.abs(ours.lifted - theirs.lifted).sum() <= 2  # near ties


def test_nothing_is_lifted_where_nothing_differs_or_nothing_was_asked(twins: Twins) -> None:
    for asked in ({"side": "base", "top_k": 5}, {"top_k": 0}):
        for one in run(twins.small.contrast(twins.talks, twins.answers, **asked)):  # type: ignore[arg-type]
            assert not one.lifted.any() and one.lifted.shape == (twins.small.vocab_size,)
    with pytest.raises(ParameterError, match="top_k=-1"):
        run(twins.small.contrast(twins.talks, twins.answers, top_k=-1))
