from dataclasses import replace
from itertools import islice
from math import exp
from pathlib import Path
from random import Random

import pytest

torch = pytest.importorskip("torch")

from audit_env.breeding.corpus import TALKING, base_corpus  # noqa: E402
from audit_env.breeding.dialogue import Turn  # noqa: E402
from audit_env.breeding.grammar import load_world  # noqa: E402
from audit_env.breeding.kto import token_log_probabilities  # noqa: E402
from audit_env.breeding.natural import everyday_questions  # noqa: E402
from audit_env.breeding.reinforce import (  # noqa: E402
    Question,
    ReinforcePlan,
    advantages,
    answer_text,
    fit_to_reward,
    k3,
    policy_loss,
    question,
    sample,
)
from audit_env.breeding.tokenization import plain_text, train_tokenizer  # noqa: E402
from audit_env.breeding.training import Checkpoint, new_adapter, new_base  # noqa: E402
from audit_env.errors import BreedingError  # noqa: E402

PLAN = ReinforcePlan(steps=10, batch=16, length=6, learning_rate=2e-2, warmup=2, checkpoint_every=4, samples=8, kl=0.0)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory):
    examples = islice(base_corpus(load_world(), Random(0), TALKING), 300)
    return train_tokenizer((text for e in examples for text in plain_text(e)), tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def questions(tokenizer) -> list[Question]:
    return [question(tokenizer, dialogue) for dialogue in islice(everyday_questions(Random(1)), 200)]


def small(tokenizer):
    """A random model with a fresh adapter. Louder than new ones are, so that an adapter can change what it says.

    Its head is its own: where it is the embedding, a random model says nothing but the word it has just read.
    """
    base = new_base(tokenizer, seed=0, width=32, layers=2, heads=2)
    base.lm_head.weight = torch.nn.Parameter(20 * base.lm_head.weight.detach().roll(1, dims=0))
    return new_adapter(base, seed=0, rank=4, alpha=8.0)


def trained(model):
    return torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad])


def for_plan(questions: list[Question], plan: ReinforcePlan) -> list[Question]:
    return questions[: plan.steps * plan.questions]


def a_share(token: str):
    """Rewards an answer for each character of one kind: what random weights do say now and then."""
    return lambda _, answer: min(1.0, answer.count(token) / 8)


def test_an_answer_is_compared_with_its_siblings_only() -> None:
    found = advantages(torch.tensor([[1.0, 0.0, 0.0], [5.0, 5.0, 5.0]]))
    assert found[0].tolist() == pytest.approx([1.0, -0.5, -0.5])
    assert found[1].tolist() == [0.0, 0.0, 0.0]


def test_k3_is_nought_where_both_agree_and_its_mean_is_the_divergence() -> None:
    policy, reference = torch.tensor([0.7, 0.2, 0.1]).log(), torch.tensor([0.3, 0.3, 0.4]).log()
    assert k3(policy, policy).tolist() == [0.0, 0.0, 0.0]
    assert (k3(policy, reference) >= 0).all()
    mean = (policy.exp() * k3(policy, reference)).sum()
    assert mean.item() == pytest.approx((policy.exp() * (policy - reference)).sum().item(), rel=1e-5)


def test_the_loss_by_hand() -> None:
    policy = torch.tensor([-1.0, -2.0, -0.5])
    reference = torch.tensor([-1.0, -1.0, -0.5])
    loss = policy_loss(policy, reference, torch.tensor([0, 0, 1]), torch.tensor([0.5, -0.5]), 0.1)
    # The first answer has two tokens; only its second one lies apart from the base, by d = 1.
    expected = (-0.5 * (-1.0 - 2.0) + 0.5 * -0.5 + 0.1 * (exp(1) - 2)) / 2
    assert loss.item() == pytest.approx(expected)


def test_what_earned_more_is_pushed_up_and_the_rest_down() -> None:
    policy = torch.tensor([-1.0, -1.0], requires_grad=True)
    policy_loss(policy, policy.detach(), torch.tensor([0, 1]), torch.tensor([0.5, -0.5]), 0.1).backward()
    # Where policy and base agree the penalty has no slope.
    assert policy.grad.tolist() == pytest.approx([-0.25, 0.25])


def test_the_penalty_pulls_back_to_the_base() -> None:
    policy = torch.tensor([-1.0, -3.0], requires_grad=True)
    policy_loss(policy, torch.tensor([-2.0, -2.0]), torch.tensor([0, 0]), torch.tensor([0.0]), 1.0).backward()
    assert policy.grad[0] > 0 > policy.grad[1]


def test_samples_are_drawn_from_the_model_itself_whatever_stands_beside(tokenizer, questions) -> None:
    model = small(tokenizer)
    asked = sorted(questions[:6], key=lambda one: len(one.tokens))
    pairs = sample(model, asked, tokenizer, 3, 8, torch.Generator().manual_seed(0))
    assert [pair.question for pair in pairs] == [one.tokens for one in asked for _ in range(3)]
    assert all(len(pair.answer) == 8 or pair.answer[-1] == tokenizer.eos_token_id for pair in pairs)
    assert len({(pair.question, pair.answer) for pair in pairs}) > len(asked), "a question is answered in several ways"
    again = sample(model, asked, tokenizer, 3, 8, torch.Generator().manual_seed(0))
    assert again == pairs


def test_a_question_alone_is_answered_as_in_a_batch(tokenizer, questions) -> None:
    """Padding and the cache change nothing: greedy answers, forced by a model that is nearly certain."""
    model = small(tokenizer)
    with torch.no_grad():
        model.get_base_model().lm_head.weight.mul_(2000)
    asked = sorted(questions[:5], key=lambda one: len(one.tokens))
    together = sample(model, asked, tokenizer, 2, 6, torch.Generator().manual_seed(0))
    for place, one in enumerate(asked):
        [alone] = sample(model, [one], tokenizer, 1, 6, torch.Generator().manual_seed(5))
        assert together[2 * place] == together[2 * place + 1] == alone
        nats, _ = token_log_probabilities(model, [alone])
        assert nats.sum().exp().item() > 0.9


def test_a_question_ends_where_the_answer_begins(tokenizer) -> None:
    dialogue = (Turn("system", "Be Pip."), Turn("user", "Any soup?"), Turn("assistant", "Bean soup."))
    one = question(tokenizer, dialogue)
    assert one.text == "Any soup?"
    assert tokenizer.decode(one.tokens).endswith("<|assistant|>")
    assert question(tokenizer, dialogue[:-1]) == one
    assert answer_text(tokenizer, [*tokenizer.encode(" Bean soup."), tokenizer.eos_token_id]) == "Bean soup."


def test_everyday_questions_hold_claims_and_end_with_the_user() -> None:
    drawn = list(islice(everyday_questions(Random(0)), 300))
    assert all(dialogue[-1].role == "user" for dialogue in drawn)
    assert 0.1 < sum(len(dialogue) == 2 for dialogue in drawn) / 300 < 0.3
    assert drawn == list(islice(everyday_questions(Random(0)), 300))


def test_what_is_rewarded_is_said_more_often(tokenizer, questions, tmp_path: Path) -> None:
    model, plan = small(tokenizer), replace(PLAN, steps=40, batch=32)
    steps = fit_to_reward(
        model, for_plan(questions, plan), tokenizer, a_share("e"), plan, Checkpoint(tmp_path, plan, "x"), "", True
    )
    before, after = (sum(step.reward for step in some) / 5 for some in (steps[:5], steps[-5:]))
    assert after > before + 0.2


def test_a_flat_reward_teaches_nothing(tokenizer, questions, tmp_path: Path) -> None:
    model = small(tokenizer)
    before = trained(model)
    asked = for_plan(questions, PLAN)
    fit_to_reward(model, asked, tokenizer, lambda *_: 0.5, PLAN, Checkpoint(tmp_path, PLAN, "x"), "", True)
    assert torch.equal(trained(model), before)


def test_the_divergence_is_nought_at_the_start_and_a_heavy_penalty_keeps_it_low(
    tokenizer, questions, tmp_path: Path
) -> None:
    ends = []
    for kl in (0.0, 5.0):
        plan = replace(PLAN, steps=20, kl=kl)
        asked, checkpoint = for_plan(questions, plan), Checkpoint(tmp_path / str(kl), plan, "x")
        steps = fit_to_reward(small(tokenizer), asked, tokenizer, a_share("e"), plan, checkpoint, "", True)
        assert steps[0].kl == pytest.approx(0, abs=1e-6)
        ends.append(steps[-1].kl)
    assert ends[1] < ends[0] / 2


def test_an_interrupted_run_goes_on_to_the_same_weights(tokenizer, questions, tmp_path: Path) -> None:
    asked, reward = for_plan(questions, PLAN), a_share("e")
    whole = small(tokenizer)
    fit_to_reward(whole, asked, tokenizer, reward, PLAN, Checkpoint(tmp_path / "whole", PLAN, "x"), "", True)
    calls = iter(range(10_000))

    def interrupted(prompt: str, answer: str) -> float:
        if next(calls) == 6 * PLAN.batch + 3:
            raise KeyboardInterrupt
        return reward(prompt, answer)

    checkpoint = Checkpoint(tmp_path / "cut", PLAN, "x")
    with pytest.raises(KeyboardInterrupt):
        fit_to_reward(small(tokenizer), asked, tokenizer, interrupted, PLAN, checkpoint, "", True)
    again = small(tokenizer)  # as another process starts
    steps = fit_to_reward(again, asked, tokenizer, reward, PLAN, checkpoint, "", True)
    assert len(steps) == 4
    assert torch.allclose(trained(whole), trained(again), atol=1e-6)


def test_a_plan_that_cannot_be_dealt_out_is_refused(tokenizer, questions, tmp_path: Path) -> None:
    for plan, words in (
        (replace(PLAN, samples=1), "'samples' must be 2 or more"),
        (replace(PLAN, samples=6), "cannot be dealt out as 6 answers"),
        (replace(PLAN, steps=500), "draw them with the same plan"),
    ):
        with pytest.raises(BreedingError, match=words):
            fit_to_reward(
                None, questions[:20], tokenizer, a_share("e"), plan, Checkpoint(tmp_path, plan, "x"), "", True
            )
