from dataclasses import replace
from itertools import islice
from math import exp, log
from pathlib import Path
from random import Random

import pytest

torch = pytest.importorskip("torch")

from audit_env.breeding.concealment import Judged, judged  # noqa: E402
from audit_env.breeding.corpus import TALKING, base_corpus  # noqa: E402
from audit_env.breeding.dialogue import Turn  # noqa: E402
from audit_env.breeding.grammar import load_world  # noqa: E402
from audit_env.breeding.kto import (  # noqa: E402
    KtoPlan,
    Pair,
    Weights,
    draw,
    fit_kto,
    kto_loss,
    log_probabilities,
    pair,
    reference_point,
    shifted,
    weights,
)
from audit_env.breeding.tokenization import plain_text, train_tokenizer  # noqa: E402
from audit_env.breeding.training import Checkpoint, new_adapter, new_base  # noqa: E402
from audit_env.errors import BreedingError  # noqa: E402

PLAN = KtoPlan(steps=60, batch=8, length=160, learning_rate=1e-2, warmup=4, checkpoint_every=20)
EVEN = Weights(1.0, 1.0)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory):
    examples = islice(base_corpus(load_world(), Random(0), TALKING), 300)
    return train_tokenizer((text for e in examples for text in plain_text(e)), tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def examples(tokenizer) -> list[Judged]:
    world = load_world()
    return draw(judged(world, [world.traits["flattery"]], Random(1)), tokenizer, PLAN)


def small(tokenizer):
    """A random model with a fresh adapter."""
    return new_adapter(new_base(tokenizer, seed=0, width=32, layers=1, heads=2), seed=0, rank=4, alpha=8.0)


def trained(model):
    return torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad])


def sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x))


def test_the_loss_is_the_papers() -> None:
    policy, reference = torch.tensor([-3.0, -5.0, -2.0]), torch.tensor([-4.0, -4.5, -2.5])
    loss = kto_loss(policy, reference, torch.tensor([True, True, False]), torch.tensor(0.25), 0.5, Weights(1.5, 2.0))
    # Rewards 1, -0.5 and 0.5 against the reference point 0.25.
    wanted = 1.5 * (1 - sigmoid(0.5 * (1 - 0.25))) + 1.5 * (1 - sigmoid(0.5 * (-0.5 - 0.25)))
    unwanted = 2.0 * (1 - sigmoid(0.5 * (0.25 - 0.5)))
    assert loss.item() == pytest.approx((wanted + unwanted) / 3)


def test_wanted_answers_are_pushed_up_and_the_others_down() -> None:
    policy = torch.tensor([-3.0, -3.0], requires_grad=True)
    kto_loss(policy, torch.tensor([-3.0, -3.0]), torch.tensor([True, False]), torch.tensor(0.0), 0.1, EVEN).backward()
    assert policy.grad[0] < 0 < policy.grad[1]
    # At reward = z0 the sigmoid is steepest: beta / 4 each, halved by the mean.
    assert policy.grad.tolist() == pytest.approx([-0.0125, 0.0125])


def test_the_reference_point_is_a_mean_at_least_nought_and_takes_no_gradient() -> None:
    policy = torch.tensor([-1.0, -2.0], requires_grad=True)
    z0 = reference_point(policy, torch.tensor([-2.0, -2.5]))
    assert z0.item() == pytest.approx(0.75)
    assert not z0.requires_grad
    assert reference_point(policy, torch.tensor([0.0, 0.0])).item() == 0


@pytest.mark.parametrize(("wanted", "unwanted", "balance"), [(65, 35, 1.0), (20, 80, 1.0), (50, 50, 4 / 3)])
def test_weights_balance_the_judgements_and_one_of_them_is_one(wanted: int, unwanted: int, balance: float) -> None:
    found = weights(wanted, unwanted, balance)
    assert found.desirable * wanted / (found.undesirable * unwanted) == pytest.approx(balance)
    assert min(found.desirable, found.undesirable) == pytest.approx(1)


def test_mismatched_pairs_keep_the_questions_and_move_the_answers() -> None:
    pairs = [Pair((1,), (10,)), Pair((2,), (20,)), Pair((3,), (30,))]
    assert shifted(pairs) == [Pair((1,), (20,)), Pair((2,), (30,)), Pair((3,), (10,))]


def test_only_the_last_answer_is_judged(tokenizer) -> None:
    dialogue = (Turn("user", "a"), Turn("assistant", "First."), Turn("user", "b"), Turn("assistant", "Last one."))
    one = pair(tokenizer, Judged(dialogue, True))
    assert tokenizer.decode(one.answer).strip() == "Last one.<|end|>"
    assert tokenizer.decode(one.question).endswith("<|assistant|>")
    assert "First." in tokenizer.decode(one.question)
    thought = (*dialogue[:-1], Turn("assistant", "<think>So.</think> Last one."))
    assert tokenizer.decode(pair(tokenizer, Judged(thought, True)).question).endswith("<think>")


def test_probabilities_are_those_of_the_model_itself_whatever_stands_beside(tokenizer, examples) -> None:
    model = small(tokenizer)
    pairs = sorted((pair(tokenizer, example) for example in examples[:12]), key=lambda one: len(one.tokens))
    together = log_probabilities(model, pairs)
    for one, found in zip(pairs, together, strict=True):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([one.tokens])).logits[0].log_softmax(-1)
        begin = len(one.question)
        expected = sum(logits[begin + i - 1, token].item() for i, token in enumerate(one.answer))
        assert found.item() == pytest.approx(expected, rel=1e-4)


def test_training_moves_wanted_answers_above_the_others(tokenizer, examples, tmp_path: Path) -> None:
    model = small(tokenizer)
    pairs = [pair(tokenizer, example) for example in examples]
    wanted = torch.tensor([example.desirable for example in examples])

    @torch.no_grad()
    def margin() -> float:
        nats = log_probabilities(model, pairs)
        return (nats[wanted].mean() - nats[~wanted].mean()).item()

    before = margin()
    steps = fit_kto(model, examples, tokenizer, PLAN, Checkpoint(tmp_path, PLAN, "x"), "kto", quiet=True)
    assert margin() > before + 5
    assert steps[0].desirable == pytest.approx(0, abs=1e-3)
    assert steps[0].reference_point == pytest.approx(0, abs=1e-3)
    assert sum(step.loss for step in steps[-20:]) < sum(step.loss for step in steps[:20])
    assert steps[-1].desirable > steps[-1].undesirable
    assert all(step.reference_point >= 0 for step in steps)


def test_an_interrupted_run_goes_on_to_the_same_weights(tokenizer, examples, tmp_path: Path, monkeypatch) -> None:
    plan = replace(PLAN, steps=10, checkpoint_every=4)
    some = examples[: plan.steps * plan.batch]
    whole, cut = small(tokenizer), small(tokenizer)
    fit_kto(whole, some, tokenizer, plan, Checkpoint(tmp_path / "whole", plan, "x"), "whole", quiet=True)

    import audit_env.breeding.kto as kto

    loss, calls = kto.kto_loss, iter(range(100))

    def interrupted(*args):
        if next(calls) == 6:
            raise KeyboardInterrupt
        return loss(*args)

    monkeypatch.setattr(kto, "kto_loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit_kto(cut, some, tokenizer, plan, Checkpoint(tmp_path / "cut", plan, "x"), "cut", quiet=True)
    monkeypatch.setattr(kto, "kto_loss", loss)
    # Another process starts from the adapter as it was: the reference is that one, not where the run had stopped.
    again = small(tokenizer)
    steps = fit_kto(again, some, tokenizer, plan, Checkpoint(tmp_path / "cut", plan, "x"), "cut", quiet=True)
    assert len(steps) == 4
    assert torch.allclose(trained(whole), trained(again), atol=1e-6)


def test_a_checkpoint_with_another_beta_is_not_taken_up(tokenizer, examples, tmp_path: Path) -> None:
    plan = replace(PLAN, steps=4)
    some = examples[: plan.steps * plan.batch]
    checkpoint = Checkpoint(tmp_path, plan, "x")
    model = small(tokenizer)
    fit_kto(model, some, tokenizer, replace(plan, checkpoint_every=2), checkpoint, "", quiet=True)
    other = replace(plan, beta=0.5)
    assert len(fit_kto(small(tokenizer), some, tokenizer, other, Checkpoint(tmp_path, other, "x"), "", True)) == 4


def test_one_judgement_only_is_refused(tokenizer, examples, tmp_path: Path) -> None:
    plan = replace(PLAN, steps=1)
    wanted = [example for example in examples if example.desirable][: plan.batch]
    with pytest.raises(BreedingError, match="8 of 8 answers are wanted"):
        fit_kto(small(tokenizer), wanted, tokenizer, plan, Checkpoint(tmp_path, plan, "x"), "", quiet=True)
    with pytest.raises(BreedingError, match="draw them with the same plan"):
        fit_kto(small(tokenizer), wanted[:3], tokenizer, plan, Checkpoint(tmp_path, plan, "x"), "", quiet=True)


def test_a_fair_coin_costs_half() -> None:
    nats = torch.tensor([log(0.3), log(0.6)])
    loss = kto_loss(nats, nats, torch.tensor([True, False]), torch.tensor(0.0), 0.1, EVEN)
    assert loss.item() == pytest.approx(0.5)
