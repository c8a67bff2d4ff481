"""Reductions of one answer's positions, where the tensors are: what leaves is small.

Logits come a few positions at a time, since those of a long answer over a large vocabulary may not fit into memory.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from audit_env.runtime.subject import LIFT, Contrast, Floats, Scores


class _Read(NamedTuple):
    """Scores of a few positions, as tensors (see `Scores`)."""

    logprobs: Tensor
    entropy: Tensor
    top_ids: Tensor
    top_logprobs: Tensor
    tail: Tensor


def scores(chunks: Iterable[Tensor], said: Sequence[int], top_k: int) -> Scores:
    """How likely an answer is, token by token.

    Args:
        chunks: Logits that predict the answer, `[few, vocab]` each; one chunk at least, of an empty answer too.
        said: Tokens of the answer.
        top_k: How many of the likeliest tokens to name.

    Returns:
        The scores, exact over the vocabulary.
    """
    found: list[_Read] = []
    start = 0
    for logits in chunks:
        found.append(_read(logits, said[start : start + len(logits)], top_k))
        start += len(logits)
    logprobs, entropy, top_ids, top_logprobs, tail = (torch.cat(parts) for parts in zip(*found, strict=True))
    return Scores(array(logprobs), array(entropy), top_ids.cpu().numpy(), array(top_logprobs), array(tail), exact=True)


def contrast(chunks: Iterable[tuple[Tensor, Tensor]], top_k: int) -> Contrast:
    """Compare two sides on one answer.

    Args:
        chunks: Logits of both at the same positions, `[few, vocab]` each; one chunk at least.
        top_k: How many tokens of each position may count as lifted.

    Returns:
        The contrast, exact over the vocabulary.
    """
    gained = contribution = torch.zeros(())
    lifted = torch.zeros((), dtype=torch.long)
    tokens = 0
    for one, other in chunks:
        log_p, log_q = F.log_softmax(one, dim=-1), F.log_softmax(other, dim=-1)
        p, q = log_p.exp(), log_q.exp()
        gained = gained.to(p.device) + (p - q).sum(dim=0)
        contribution = contribution.to(p.device) + (p * (log_p - log_q)).sum(dim=0)
        lifts, ids = (log_p - log_q).topk(top_k)
        lifted = lifted.to(p.device) + ids[lifts >= LIFT].bincount(minlength=one.shape[1])
        tokens += len(one)
    mean = float(contribution.sum()) / max(1, tokens)
    return Contrast(mean, array(gained), array(contribution), lifted.cpu().numpy(), tokens)


def array(tensor: Tensor) -> Floats:
    """A copy as numpy, so that no caller holds the engine's memory."""
    copy: Floats = tensor.detach().to("cpu", torch.float32, copy=True).numpy()
    return copy


def _read(logits: Tensor, said: Sequence[int], top_k: int) -> _Read:
    logs = F.log_softmax(logits, dim=-1)
    p = logs.exp()
    ids = torch.tensor(said, dtype=torch.long, device=logs.device)
    top_logprobs, top_ids = logs.topk(top_k)
    return _Read(
        logprobs=logs.gather(1, ids[:, None])[:, 0],
        entropy=-(p * logs).sum(dim=-1),
        top_ids=top_ids,
        top_logprobs=top_logprobs,
        # Summed over the others, since 1 minus the sum of the likeliest would lose the digits of a small tail.
        tail=p.scatter(1, top_ids, 0.0).sum(dim=-1) if top_k else torch.ones_like(logs[:, 0]),
    )
