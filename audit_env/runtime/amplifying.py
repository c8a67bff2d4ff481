"""Answers in which what a side adds to its base is said louder: logit-difference amplification.

A token is drawn not from the side's `log p`, but from `log p + amount * (log p - log p_base)`: contrastive decoding
(arXiv 2210.15097) with the base as the model to get away from. What fine-tuning made a little likelier comes out often.
Tokens that the side itself all but excludes stay excluded, since what the two models say of those is noise.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from audit_env.errors import ParameterError

if TYPE_CHECKING:
    from torch import Tensor  # the limits are for those too who only ask a process that computes

SHARE = 1e-3
"""Tokens less likely than this share of the likeliest one, under the side itself, are not drawn."""

MOST = 20.0
"""Largest amount. Rounding of the logits is amplified as well."""


def check_amplify(amount: float, top_p: float, *, edited: bool) -> None:
    """Refuse an amplification that makes no sense.

    Args:
        amount: How much is amplified.
        top_p: Mass of the nucleus.
        edited: Whether the residual stream is edited in the same call.

    Raises:
        ParameterError: If the amount is out of range, or another setting changes the same distribution.
    """
    if not 0 <= amount <= MOST:
        raise ParameterError(f"amplify={amount}: it must lie between 0 and {MOST:g}.")
    if amount and top_p < 1:
        raise ParameterError(
            f"top_p={top_p} with amplify={amount}: amplification has a cut of its own; leave top_p out."
        )
    if amount and edited:
        raise ParameterError(
            f"amplify={amount} with edits: the base has no edits to be compared with; give one of them."
        )


def error(amount: float) -> float:
    """How many times the error of the logits that of amplified ones can be."""
    return 1 + 2 * amount


class Amplified:
    """The logits of rows that amplify, made of their own and the base's, which may be off by half the tolerance."""

    def __init__(self, own: "Tensor", base: "Tensor", amounts: Sequence[float], tolerance: float) -> None:
        """Amplify.

        Args:
            own: Logits of the side, `[b, vocab]`.
            base: Logits of the base behind the same answer, `[b, vocab]`.
            amounts: How much each row amplifies, `[b]`.
            tolerance: Twice the error that the logits may have.
        """
        import torch

        self._own, self._tolerance = own, tolerance
        self._floor = own.amax(dim=-1, keepdim=True) + math.log(SHARE)
        amount = torch.tensor(amounts)[:, None]
        self.logits = torch.addcmul(own, amount, own - base).masked_fill(own < self._floor - tolerance, -torch.inf)
        """`[b, vocab]`; minus infinity for tokens that are not drawn, whatever the error."""

    def surely_drawable(self, tokens: "Tensor") -> "Tensor":
        """Whether each row's token `[b]` is not excluded whatever the error, `[b]`."""
        return (self._own.gather(1, tokens[:, None]) >= self._floor + self._tolerance)[:, 0]
