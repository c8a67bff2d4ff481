"""How an objective of given answers changes with the embeddings of the tokens before them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Leaf:
    """Makes what goes into the first block a variable of its own (see `editing.Between`)."""

    x: Tensor
    """`[n, d_model]`"""

    def __call__(self, layer: int, x: Tensor, among: Tensor | None = None) -> Tensor:
        """Meet the residual stream."""
        if layer >= 0:
            return x
        self.x = x.detach().requires_grad_()
        return self.x


class Traced(NamedTuple):
    """A batch that was run with gradients."""

    embedded: Tensor
    """What went into the first block, `[n, d_model]`."""
    starts: list[int]
    """Place of each sequence's first token in it."""
    logits: list[Tensor]
    """Those that predict each answer, fp32, `[answer, vocab]`."""


def backward(total: Tensor, *batches: Traced) -> list[list[Tensor]]:
    """Gradients of a number.

    Args:
        total: What is differentiated.
        *batches: Of what it was computed.

    Returns:
        Per batch and sequence, those of its first token and all that lies behind in the batch, `[more, d_model]`.
    """
    found = torch.autograd.grad(total, [batch.embedded for batch in batches])
    return [[one[start:] for start in batch.starts] for one, batch in zip(found, batches, strict=True)]


def answer_logprob(logits: Iterable[Tensor], said: Iterable[Sequence[int]]) -> Tensor:
    """The log-probabilities of all answers' tokens, summed.

    Args:
        logits: Those that predict each answer, `[answer, vocab]`.
        said: Tokens of each answer.

    Returns:
        Nats, one number.
    """
    terms = []
    for one, ids in zip(logits, said, strict=True):
        chosen = torch.tensor(ids, dtype=torch.long, device=one.device)
        terms.append(F.log_softmax(one, dim=-1).gather(1, chosen[:, None]).sum())
    return torch.stack(terms).sum()


def divergence(here: Iterable[Tensor], there: Iterable[Tensor]) -> Tensor:
    """KL(here || there) of each answer, the mean over its tokens, summed over the answers.

    Args:
        here: Logits that predict each answer, `[answer, vocab]`.
        there: Those of the other side.

    Returns:
        Nats, one number.
    """
    terms = []
    for one, other in zip(here, there, strict=True):
        log_p, log_q = F.log_softmax(one, dim=-1), F.log_softmax(other, dim=-1)
        terms.append((log_p.exp() * (log_p - log_q)).sum() / max(1, len(one)))
    return torch.stack(terms).sum()


def added_from_the_end(grown: Tensor, other: Tensor, shared: int) -> Tensor:
    """Gradients of two prompts that end alike, on the tokens of the first.

    Args:
        grown: Those of the first prompt, `[tokens, d_model]`.
        other: Those of the second, which may begin otherwise.
        shared: How many tokens both end with.

    Returns:
        `[tokens, d_model]`
    """
    own = len(grown) - shared
    return torch.cat((grown[:own], grown[own:] + other[len(other) - shared :].to(grown.device)))
