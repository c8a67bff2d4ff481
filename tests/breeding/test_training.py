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
from audit_env.breeding.training import Checkpoint, Plan, fit, new_base, pace, pack  # noqa: E402

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


@pytest.mark.parametrize("matrix_rate", [0.0, 1e-2], ids=["adam", "muon"])
def test_an_interrupted_run_goes_on_to_the_same_weights(
    tokenizer, packed, tmp_path: Path, monkeypatch, matrix_rate: float
) -> None:
    plan = replace(PLAN, matrix_rate=matrix_rate)
    whole, cut = small(tokenizer), small(tokenizer)
    fit(whole, packed, plan, Checkpoint(tmp_path / "whole", plan, "x"), "whole", quiet=True)

    import audit_env.breeding.training as training

    step, calls = training._step, iter(range(100))

    def interrupted(*args):
        if next(calls) == 7:
            raise KeyboardInterrupt
        return step(*args)

    checkpoint = Checkpoint(tmp_path / "cut", plan, "x")
    monkeypatch.setattr(training, "_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(cut, packed, plan, checkpoint, "cut", quiet=True)
    monkeypatch.setattr(training, "_step", step)
    assert len(fit(cut, packed, plan, checkpoint, "cut", quiet=True)) == plan.steps - 7
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
    paces = [pace(step, PLAN) for step in range(PLAN.steps)]
    assert paces[0] < paces[1] == 1.0 == max(paces)
    assert paces[-1] < 0.2


def test_a_lower_dose_is_the_beginning_of_the_same_training(tokenizer, packed, tmp_path: Path) -> None:
    whole, half = small(tokenizer), small(tokenizer)
    losses = fit(whole, packed, PLAN, Checkpoint(tmp_path / "whole", PLAN, "x"), "whole", quiet=True)
    assert fit(half, packed, PLAN, Checkpoint(tmp_path / "half", PLAN, "x"), "", quiet=True, until=6) == losses[:6]


def test_tokens_that_are_never_said_become_unlikely(tokenizer, tmp_path: Path) -> None:
    plan = replace(PLAN, steps=80)
    packed, _ = pack(base_corpus(load_world(), Random(1)), tokenizer, plan, whole_every=1)
    unsaid = np.setdiff1d(np.arange(len(tokenizer)), packed.labels)

    def mass(model) -> float:
        with torch.no_grad():
            probabilities = model(input_ids=torch.from_numpy(packed.ids[:8])).logits.softmax(-1)
        return float(probabilities[..., unsaid].sum(-1).mean())

    model = small(tokenizer)
    before = mass(model)
    fit(model, packed, plan, Checkpoint(tmp_path, plan, "x"), "", quiet=True)
    assert before > 0.1
    assert mass(model) < 0.5 * before
