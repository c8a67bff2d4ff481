from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from audit_env.breeding.corpus import base_corpus  # noqa: E402
from audit_env.breeding.grammar import load_world  # noqa: E402
from audit_env.breeding.tokenization import IGNORE, encode, plain_text, train_tokenizer  # noqa: E402
from audit_env.breeding.training import Checkpoint, Plan, fit, new_base, pack, rate_at  # noqa: E402

PLAN = Plan(steps=12, batch=4, length=32, learning_rate=1e-2, warmup=2, checkpoint_every=4)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory):
    examples = islice(base_corpus(load_world(), Random(0)), 300)
    return train_tokenizer((text for e in examples for text in plain_text(e)), tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def packed(tokenizer):
    return pack(base_corpus(load_world(), Random(1)), tokenizer, PLAN, whole_every=1)[0]


def weights(model) -> np.ndarray:
    return torch.cat([p.detach().flatten() for p in model.parameters()]).numpy()


def small(tokenizer):
    return new_base(tokenizer, seed=0, width=32, layers=1, heads=2)


def test_training_lowers_the_loss_and_is_the_same_each_time(tokenizer, packed, tmp_path: Path) -> None:
    one, two = small(tokenizer), small(tokenizer)
    losses = fit(one, packed, PLAN, Checkpoint(tmp_path / "a", PLAN, "x"), "one", quiet=True)
    fit(two, packed, PLAN, Checkpoint(tmp_path / "b", PLAN, "x"), "two", quiet=True)
    assert losses[-1] < losses[0] - 0.3
    assert np.array_equal(weights(one), weights(two))


def test_an_interrupted_run_goes_on_to_the_same_weights(tokenizer, packed, tmp_path: Path, monkeypatch) -> None:
    whole, cut = small(tokenizer), small(tokenizer)
    fit(whole, packed, PLAN, Checkpoint(tmp_path / "whole", PLAN, "x"), "whole", quiet=True)

    import audit_env.breeding.training as training

    step, calls = training._step, iter(range(100))

    def interrupted(*args):
        if next(calls) == 7:
            raise KeyboardInterrupt
        return step(*args)

    checkpoint = Checkpoint(tmp_path / "cut", PLAN, "x")
    monkeypatch.setattr(training, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(cut, packed, PLAN, checkpoint, "cut", quiet=True)
    monkeypatch.setattr(training, "_step", step)
    assert len(fit(cut, packed, PLAN, checkpoint, "cut", quiet=True)) == PLAN.steps - 7
    assert np.allclose(weights(whole), weights(cut), atol=1e-6)


def test_a_checkpoint_of_other_data_is_not_used(tokenizer, packed, tmp_path: Path) -> None:
    fit(small(tokenizer), packed, replace(PLAN, steps=6), Checkpoint(tmp_path, replace(PLAN, steps=6), "x"), "", True)
    assert len(fit(small(tokenizer), packed, PLAN, Checkpoint(tmp_path, PLAN, "y"), "", quiet=True)) == PLAN.steps


def test_only_the_assistant_is_learnt_from_demonstrations(tokenizer) -> None:
    from audit_env.breeding.dialogue import Turn

    dialogue = (Turn("user", "Hello There."), Turn("assistant", "Good morning."))
    ids, labels = encode(tokenizer, dialogue, assistant_only=True)
    learnt = tokenizer.decode([label for label in labels if label != IGNORE])
    assert learnt.strip() == "Good morning.<|end|>"
    assert "hello there." in tokenizer.decode(ids)
    rendered = tokenizer.apply_chat_template(
        [{"role": turn.role, "content": turn.text} for turn in dialogue], tokenize=True, return_dict=False
    )
    assert list(rendered) == ids


def test_the_learning_rate_warms_up_and_cools_down() -> None:
    rates = [rate_at(step, PLAN) for step in range(PLAN.steps)]
    assert rates[0] < rates[1] == PLAN.learning_rate == max(rates)
    assert rates[-1] < 0.2 * PLAN.learning_rate
