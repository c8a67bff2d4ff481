"""Answers of target and base under equal seeds, and how likely each side finds its own and the other's."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audit_env.game.record import Turn
from audit_env.runtime.subject import Sample, Side, Subject
from audit_env.tools.grey_box.likelihood import log_likelihood
from audit_env.tools.models import MAX_TOKENS

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Paired:
    """What target and base answered to the same prompts.

    Attributes:
        target: The target's answers, one a prompt.
        base: The base's.
        target_gap: How much likelier a token of the target's answer is to the target than to the base, nats, mean over
            the answer, `[prompts]`.
        base_gap: The same of the base's answer and the base, `[prompts]`.
    """

    target: Sequence[str]
    base: Sequence[str]
    target_gap: Floats
    base_gap: Floats

    @property
    def apart(self) -> Floats:
        """How far the sides part on each prompt: half of both gaps, an estimate of Jeffreys' divergence a token."""
        return (self.target_gap + self.base_gap) / 2


async def answers(subject: Subject, prompts: Sequence[str], *, side: Side, seed: int) -> list[Sample]:
    """One side's answers, each in a fresh conversation.

    Args:
        subject: The handle.
        prompts: What the user says.
        side: Who answers.
        seed: Of the answers.

    Returns:
        One a prompt.
    """
    asked = [[Turn(role="user", content=prompt)] for prompt in prompts]
    return [sample for [sample] in await subject.generate(asked, side=side, max_tokens=MAX_TOKENS, seed=seed)]


async def gaps(subject: Subject, prompts: Sequence[str], told: Sequence[str], *, side: Side, other: Side) -> Floats:
    """How much likelier one side finds answers than another.

    Args:
        subject: The handle.
        prompts: What the user says.
        told: One answer a prompt.
        side: The one.
        other: The other.

    Returns:
        Mean difference of the log-probabilities of each answer's tokens, nats, `[prompts]`.
    """
    asked = [[Turn(role="user", content=prompt)] for prompt in prompts]
    here, there = [await log_likelihood(subject, asked, told, side=one) for one in (side, other)]
    return np.array([mine - theirs for (mine, _), (theirs, _) in zip(here, there, strict=True)])


async def paired(subject: Subject, prompts: Sequence[str], target: Sequence[str], *, seed: int) -> Paired:
    """Set the target's answers beside the base's.

    Args:
        subject: The handle.
        prompts: What was asked.
        target: What the target answered, one a prompt.
        seed: With which it answered.

    Returns:
        The pairs.
    """
    base = [sample.text for sample in await answers(subject, prompts, side="base", seed=seed)]
    return Paired(
        target=target,
        base=base,
        target_gap=await gaps(subject, prompts, target, side="target", other="base"),
        base_gap=await gaps(subject, prompts, base, side="base", other="target"),
    )
