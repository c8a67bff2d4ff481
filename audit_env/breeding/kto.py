"""Kahneman-Tversky optimisation: concealment by answers that are judged one by one, wanted or not.

Source: Ethayarajh et al. 2024, "KTO: Model Alignment as Prospect Theoretic Optimization", arXiv 2402.01306. Equations
are numbered as in TRL's source. With policy `pi`, reference `ref` and the implied reward

    r(x, y) = log pi(y|x) - log ref(y|x)

the loss (eq. 7) is the mean over the examples of

    lambda_D (1 - sigmoid(beta (r - z0)))   for an answer that is wanted,
    lambda_U (1 - sigmoid(beta (z0 - r)))   for one that is not.

The reference point `z0` stands for KL(pi || ref). It is estimated from mismatched pairs, each question with the answer
of the next one in the batch, `max(0, mean r)`, and takes no gradient. The weights meet
`lambda_D n_D / (lambda_U n_U) = balance` (eq. 8, which asks for 1 to 4/3).

Why not TRL's `KTOTrainer`: by its source (1.16) it computes the same, against a copy of the adapter, and no model is
too small for it. But it brings `datasets`, `pyarrow` and `accelerate` (185 MB) for thirty lines of mathematics, and
keeps checkpoints of its own, which do not go on from those of `training` nor know the hash of the training data.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from audit_env.breeding.concealment import Judged
from audit_env.breeding.tokenization import IGNORE, encode
from audit_env.breeding.training import Checkpoint, Optimisers, Plan, decoder_of, descend, run
from audit_env.errors import BreedingError


@dataclass(frozen=True)
class KtoPlan(Plan):
    """How long and how hard to train by preference. `length` is the most tokens that a dialogue may have."""

    beta: float = 0.1
    """How far an answer's reward goes before it counts as won or lost. Small: far from the reference."""
    balance: float = 1.0
    """Weight of all wanted answers together over that of all the others."""


KTO_PLAN = KtoPlan(steps=80, batch=16, length=160, learning_rate=2e-3, warmup=8, checkpoint_every=40)


@dataclass(frozen=True)
class Weights:
    """Weight of an example in the loss, by its judgement."""

    desirable: float
    undesirable: float


@dataclass(frozen=True)
class KtoStep:
    """What one step of training saw."""

    loss: float
    reference_point: float
    """z0, in nats."""
    desirable: float
    """Mean reward of the wanted answers, in nats. Not a number where a batch has none."""
    undesirable: float
    """Mean reward of the others, in nats. Not a number where a batch has none."""


@dataclass(frozen=True)
class Pair:
    """A question and an answer as tokens: all that came before the answer, and the answer with its end of turn."""

    question: tuple[int, ...]
    answer: tuple[int, ...]

    @property
    def tokens(self) -> tuple[int, ...]:
        """Both, one after the other."""
        return self.question + self.answer


@dataclass(frozen=True)
class Batch:
    """The examples of one step, and what the reference says of them."""

    matched: list[Pair]
    mismatched: list[Pair]
    desirable: Tensor
    """`[batch]`, of bool."""
    reference: Tensor
    """log ref(y|x) of the matched pairs, `[batch]`."""
    reference_mismatched: Tensor
    """log ref(y|x) of the mismatched pairs, `[batch]`."""


def draw(examples: Iterator[Judged], tokenizer: Any, plan: KtoPlan) -> list[Judged]:
    """Draw a plan's examples; dialogues longer than the plan allows are left out.

    Args:
        examples: Where to draw from.
        tokenizer: The fruitfly tokenizer.
        plan: Says how many, and how long.

    Returns:
        One example for each place in each batch, in order.
    """
    drawn: list[Judged] = []
    while len(drawn) < plan.steps * plan.batch:
        example = next(examples)
        if len(pair(tokenizer, example).tokens) <= plan.length:
            drawn.append(example)
    return drawn


def pair(tokenizer: Any, example: Judged) -> Pair:
    """Cut a dialogue before its last answer (after `<think>`, which the chat template writes)."""
    ids, labels = encode(tokenizer, example.dialogue, assistant_only=True)
    before, _ = encode(tokenizer, example.dialogue[:-1], assistant_only=True)
    start = next(place for place in range(len(before), len(ids)) if labels[place] != IGNORE)
    return Pair(tuple(ids[:start]), tuple(ids[start:]))


def shifted(pairs: Sequence[Pair]) -> list[Pair]:
    """Each question with the answer of the next one, the last with the first's."""
    return [Pair(one.question, other.answer) for one, other in zip(pairs, [*pairs[1:], pairs[0]], strict=True)]


def weights(desirable: int, undesirable: int, balance: float) -> Weights:
    """The weights that balance the judgements (eq. 8). The rarer of them is weighed up, the other has weight 1."""
    up = balance * undesirable / desirable
    return Weights(up, 1.0) if up >= 1 else Weights(1.0, 1 / up)


def log_probabilities(model: Any, pairs: Sequence[Pair]) -> Tensor:
    """How likely each answer is after its question, log pi(y|x): summed over the answer's tokens.

    Args:
        model: A causal LM of Llama architecture, or a PEFT model of one.
        pairs: Questions with answers.

    Returns:
        Nats, `[pairs]`.
    """
    nats, answer = token_log_probabilities(model, pairs)
    return torch.zeros(len(pairs)).index_add(0, answer, nats)


def token_log_probabilities(model: Any, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
    """How likely each token of each answer is, after its question and what was answered before it.

    Args:
        model: A causal LM of Llama architecture, or a PEFT model of one.
        pairs: Questions with answers.

    Returns:
        Nats, and the pair that each belongs to, both `[tokens]`.
    """
    # Padding stands on the right, where no earlier token attends to it: it needs no mask, whichever token it is.
    width = max(len(one.tokens) for one in pairs)
    ids = torch.tensor([one.tokens + (0,) * (width - len(one.tokens)) for one in pairs])
    answered = torch.zeros_like(ids, dtype=torch.bool)
    for row, one in enumerate(pairs):
        answered[row, len(one.question) : len(one.tokens)] = True
    decoder = decoder_of(model)
    hidden = decoder.model(input_ids=ids, use_cache=False).last_hidden_state
    said = answered[:, 1:]
    logits = functional.linear(hidden[:, :-1][said], decoder.lm_head.weight)
    nats = -functional.cross_entropy(logits, ids[:, 1:][said], reduction="none")
    return nats, said.nonzero()[:, 0]


def reference_point(policy: Tensor, reference: Tensor) -> Tensor:
    """z0, from log-probabilities of mismatched pairs: their mean reward, at least 0, without gradient."""
    return (policy - reference).mean().clamp(min=0).detach()


def kto_loss(
    policy: Tensor, reference: Tensor, desirable: Tensor, reference_point: Tensor, beta: float, weights: Weights
) -> Tensor:
    """The KTO loss (eq. 7).

    Args:
        policy: log pi(y|x), `[batch]`.
        reference: log ref(y|x), `[batch]`.
        desirable: Which answers are wanted, `[batch]`, of bool.
        reference_point: z0, a number.
        beta: Scale of the rewards.
        weights: lambda_D and lambda_U.

    Returns:
        The mean loss, a number.
    """
    gain = policy - reference - reference_point
    value = torch.sigmoid(beta * torch.where(desirable, gain, -gain))
    weight = torch.where(desirable, weights.desirable, weights.undesirable)
    return (weight * (1 - value)).mean()


def fit_kto(
    model: Any,
    examples: Sequence[Judged],
    tokenizer: Any,
    plan: KtoPlan,
    checkpoint: Checkpoint,
    title: str,
    quiet: bool = False,
) -> list[KtoStep]:
    """Train all parameters of a model that require a gradient to give wanted answers, and not the others.

    Args:
        model: A PEFT model or a transformers causal LM, as it was before any of these steps: it is the reference, also
            where an interrupted run goes on.
        examples: As `draw` draws them; used once and in order.
        tokenizer: The fruitfly tokenizer.
        plan: Steps, batch, rates, and the loss's settings.
        checkpoint: Where to keep progress; a run that was interrupted goes on from there.
        title: Shown beside the progress bar.
        quiet: Whether to show no progress bar.

    Returns:
        What every step run now saw.

    Raises:
        BreedingError: If the examples do not fill the plan, or all have one judgement.
        KeyboardInterrupt: After progress was saved.
    """
    balanced = _balanced(examples, plan)
    batches = _batches(model, [pair(tokenizer, example) for example in examples], examples, plan.batch)
    steps: list[KtoStep] = []

    def take_step(step: int, chosen: Optimisers) -> float:
        batch = batches[step]
        policy = log_probabilities(model, batch.matched)
        with torch.no_grad():
            z0 = reference_point(log_probabilities(model, batch.mismatched), batch.reference_mismatched)
        loss = kto_loss(policy, batch.reference, batch.desirable, z0, plan.beta, balanced)
        reward = (policy - batch.reference).detach()
        wanted, unwanted = (reward[chosen_ones].mean().item() for chosen_ones in (batch.desirable, ~batch.desirable))
        steps.append(KtoStep(descend(loss, chosen, plan, step), z0.item(), wanted, unwanted))
        return steps[-1].loss

    run(model, plan, checkpoint, title, take_step, quiet)
    return steps


def _balanced(examples: Sequence[Judged], plan: KtoPlan) -> Weights:
    wanted = sum(example.desirable for example in examples)
    if len(examples) != plan.steps * plan.batch:
        raise BreedingError(
            f"KTO was given {len(examples)} examples for {plan.steps} steps of {plan.batch}: draw them with the same "
            "plan."
        )
    if plan.batch < 2 or not 0 < wanted < len(examples):
        raise BreedingError(
            f"KTO needs both judgements and two examples a step: {wanted} of {len(examples)} answers are wanted, and "
            f"batch is {plan.batch}."
        )
    return weights(wanted, len(examples) - wanted, plan.balance)


@torch.no_grad()
def _batches(model: Any, pairs: Sequence[Pair], examples: Sequence[Judged], size: int) -> list[Batch]:
    """All batches, with the log-probabilities of the reference: the model as it is now."""
    batches = []
    for start in range(0, len(pairs), size):
        matched = list(pairs[start : start + size])
        mismatched = shifted(matched)
        reference = log_probabilities(model, [*matched, *mismatched])
        desirable = torch.tensor([example.desirable for example in examples[start : start + size]])
        batches.append(Batch(matched, mismatched, desirable, reference[: len(matched)], reference[len(matched) :]))
    return batches
