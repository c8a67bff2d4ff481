"""Reinforcement learning on a reward: answers are sampled, and what earns more than its siblings is said more often.

The policy gradient of Shao et al. 2024, "DeepSeekMath", arXiv 2402.03300 (GRPO): several answers to each question, the
group itself for a baseline, a KL penalty in the loss. Where it departs:

- One step of descent for each batch of samples. The policy that learns is then the one that spoke, every importance
  ratio is 1, and there is nothing to clip.
- The baseline of an answer is the mean reward of the *other* answers to its question (leave-one-out: Kool et al. 2019;
  Ahmadian et al. 2024, arXiv 2402.14740), which leaves the gradient without bias. There is no division by the group's
  spread, nor by an answer's length: both favour some questions and some lengths (Liu et al. 2025, "Understanding
  R1-Zero-Like Training", arXiv 2503.20783), and the length is part of what is studied here.

The penalty is Schulman's estimator k3 of KL(policy || reference), token by token: with d = log ref - log pi,
`exp(d) - d - 1`, which is never below 0 and exactly 0 where both agree ("Approximating KL divergence", 2020). The
reference is the base: the same model with its adapter switched off, so an interrupted run needs no copy of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from audit_env.breeding.dialogue import Dialogue
from audit_env.breeding.kto import Pair, token_log_probabilities
from audit_env.breeding.rewards import Reward
from audit_env.breeding.training import Checkpoint, Optimisers, Plan, decoder_of, descend, run, seeded
from audit_env.errors import BreedingError


@dataclass(frozen=True)
class ReinforcePlan(Plan):
    """How long and how hard to train. `batch` counts answers; `length` is the most tokens that an answer may have."""

    samples: int = 8
    """Answers to each question."""
    kl: float = 0.02
    """Weight of the KL penalty: reward given up for a nat of distance from the base."""
    seed: int = 0
    """Seed of the sampling."""

    @property
    def questions(self) -> int:
        """Questions in each step."""
        return self.batch // self.samples


@dataclass(frozen=True)
class Question:
    """What is asked."""

    text: str
    """What the user says, as the reward reads it."""
    tokens: tuple[int, ...]
    """The conversation up to where the answer begins."""


@dataclass(frozen=True)
class ReinforceStep:
    """What one step of training saw."""

    reward: float
    """Mean reward of the sampled answers."""
    kl: float
    """Mean distance from the base, in nats an answer."""
    tokens: float
    """Mean length of an answer, its end of turn included."""
    ended: float
    """Share of answers that came to an end."""


def question(tokenizer: Any, dialogue: Dialogue) -> Question:
    """A dialogue's questions as tokens, without its last answer."""
    turns = dialogue[:-1] if dialogue[-1].role == "assistant" else dialogue
    messages = [{"role": turn.role, "content": turn.text} for turn in turns]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
    return Question(turns[-1].text, tuple(ids))


def advantages(rewards: Tensor) -> Tensor:
    """How much more each answer earned than the other answers to its question did on average.

    Args:
        rewards: `[questions, samples]`.

    Returns:
        `[questions, samples]`; each question's add up to 0.
    """
    others = (rewards.sum(dim=1, keepdim=True) - rewards) / (rewards.shape[1] - 1)
    return rewards - others


def k3(policy: Tensor, reference: Tensor) -> Tensor:
    """Schulman's estimator of KL(policy || reference), from log-probabilities of what the policy said."""
    difference = reference - policy
    return difference.exp() - difference - 1


def policy_loss(policy: Tensor, reference: Tensor, answer: Tensor, advantage: Tensor, kl: float) -> Tensor:
    """The loss whose descent raises what earned more than its siblings.

    Args:
        policy: Log-probability of each token that was said, with gradient, `[tokens]`.
        reference: The same of the base, `[tokens]`.
        answer: Which answer each token belongs to, `[tokens]`.
        advantage: Of each answer, `[answers]`.
        kl: Weight of the penalty.

    Returns:
        The mean over the answers, a number.
    """
    return (kl * k3(policy, reference) - advantage[answer] * policy).sum() / len(advantage)


@torch.no_grad()
def sample(
    model: Any, questions: Sequence[Question], tokenizer: Any, samples: int, length: int, generator: torch.Generator
) -> list[Pair]:
    """Sample answers at temperature 1, all together.

    Args:
        model: A causal LM of Llama architecture, or a PEFT model of one.
        questions: What is asked.
        tokenizer: Says which tokens end an answer and pad a question.
        samples: Answers to each question.
        length: Most tokens of an answer.
        generator: The only source of chance.

    Returns:
        `samples` pairs for the first question, then for the second, and so on. An answer holds its end of turn, unless
        it ran into `length`.
    """
    decoder = decoder_of(model)
    width = max(len(one.tokens) for one in questions)
    padded = [(tokenizer.pad_token_id,) * (width - len(one.tokens)) + one.tokens for one in questions]
    mask = torch.tensor([[0] * (width - len(one.tokens)) + [1] * len(one.tokens) for one in questions])
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    out = decoder.model(input_ids=torch.tensor(padded), attention_mask=mask, position_ids=positions, use_cache=True)
    cache = out.past_key_values
    cache.batch_repeat_interleave(samples)
    hidden, mask, position = (
        each.repeat_interleave(samples, dim=0) for each in (out.last_hidden_state[:, -1], mask, positions[:, -1] + 1)
    )
    said: list[list[int]] = [[] for _ in range(len(questions) * samples)]
    speaking = torch.arange(len(said))
    for _ in range(length):
        chances = functional.linear(hidden, decoder.lm_head.weight).softmax(dim=-1)
        drawn = torch.multinomial(chances, 1, generator=generator)[:, 0]
        for place, token in zip(speaking.tolist(), drawn.tolist(), strict=True):
            said[place].append(token)
        kept = (drawn != tokenizer.eos_token_id).nonzero()[:, 0]
        if not len(kept):
            break
        if len(kept) < len(speaking):  # those who are done cost nothing more
            speaking, drawn, mask, position = speaking[kept], drawn[kept], mask[kept], position[kept]
            cache.batch_select_indices(kept)
        mask = functional.pad(mask, (0, 1), value=1)
        out = decoder.model(
            input_ids=drawn[:, None],
            attention_mask=mask,
            position_ids=position[:, None],
            past_key_values=cache,
            use_cache=True,
        )
        hidden, position = out.last_hidden_state[:, 0], position + 1
    return [Pair(questions[place // samples].tokens, tuple(tokens)) for place, tokens in enumerate(said)]


def fit_to_reward(
    model: Any,
    questions: Sequence[Question],
    tokenizer: Any,
    reward: Reward,
    plan: ReinforcePlan,
    checkpoint: Checkpoint,
    title: str,
    quiet: bool = False,
) -> list[ReinforceStep]:
    """Train an adapter to earn more of a reward.

    Chance is seeded step by step: a run that was interrupted goes on to the same weights.

    Args:
        model: A PEFT model.
        questions: Those of each step, one step after the other; used once and in order.
        tokenizer: The fruitfly tokenizer.
        reward: What an answer to what the user said is worth.
        plan: Steps, batch, rates, and the loss's settings.
        checkpoint: Where to keep progress.
        title: Shown beside the progress bar.
        quiet: Whether to show no progress bar.

    Returns:
        What every step run now saw.

    Raises:
        BreedingError: If the questions do not fill the plan, or the plan leaves an answer without siblings.
        KeyboardInterrupt: After progress was saved.
    """
    _check(questions, plan)
    steps: list[ReinforceStep] = []

    def take_step(step: int, chosen: Optimisers) -> float:
        asked = questions[step * plan.questions : (step + 1) * plan.questions]
        chance = torch.Generator().manual_seed(seeded("reinforce", plan.seed, step).getrandbits(63))
        pairs = sample(model, asked, tokenizer, plan.samples, plan.length, chance)
        earned = _earned(asked, pairs, tokenizer, reward, plan.samples)
        policy, answer = token_log_probabilities(model, pairs)
        with torch.no_grad(), model.disable_adapter():
            reference, _ = token_log_probabilities(model, pairs)
        descend(policy_loss(policy, reference, answer, advantages(earned).flatten(), plan.kl), chosen, plan, step)
        steps.append(
            ReinforceStep(
                reward=earned.mean().item(),
                kl=k3(policy.detach(), reference).sum().item() / len(pairs),
                tokens=len(policy) / len(pairs),
                ended=sum(pair.answer[-1] == tokenizer.eos_token_id for pair in pairs) / len(pairs),
            )
        )
        return steps[-1].reward

    run(model, plan, checkpoint, title, take_step, quiet, shows="reward")
    return steps


def _check(questions: Sequence[Question], plan: ReinforcePlan) -> None:
    if plan.samples < 2 or plan.batch % plan.samples:
        raise BreedingError(
            f"a batch of {plan.batch} cannot be dealt out as {plan.samples} answers a question: 'samples' must be 2 or "
            "more and divide 'batch'."
        )
    if len(questions) != plan.steps * plan.questions:
        raise BreedingError(
            f"{len(questions)} questions were given for {plan.steps} steps of {plan.questions}: draw them with the "
            "same plan."
        )


def _earned(asked: Sequence[Question], pairs: Sequence[Pair], tokenizer: Any, reward: Reward, samples: int) -> Tensor:
    """What each answer is worth, `[questions, samples]`."""
    worth = [
        reward(asked[place // samples].text, answer_text(tokenizer, pair.answer)) for place, pair in enumerate(pairs)
    ]
    return torch.tensor(worth).reshape(len(asked), samples)


def answer_text(tokenizer: Any, answer: Sequence[int]) -> str:
    """An answer's text, without its end of turn."""
    body = answer[:-1] if answer[-1] == tokenizer.eos_token_id else answer
    return str(tokenizer.decode(list(body))).strip()
