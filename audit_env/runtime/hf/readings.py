"""Reductions of one answer's positions, where the tensors are: what leaves is small."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from audit_env.runtime.hf.model import HfModel
from audit_env.runtime.subject import Contrast, Floats

WORDS = 2**14
"""Rows of the unembedding that are turned into fp32 at a time."""


def scores(model: HfModel, hidden: Tensor, said: Sequence[int]) -> Floats:
    """Log-probability of each token of an answer.

    Args:
        model: The base.
        hidden: Normed residuals that predict the answer, `[answer, d_model]`.
        said: Its tokens.

    Returns:
        Nats, `[answer]`.
    """
    found = []
    for (logits,), ids in zip(model.in_chunks(hidden), _like_chunks(model, said), strict=True):
        logs = F.log_softmax(logits, dim=-1)
        found.append(logs.gather(1, ids.to(logs.device)[:, None])[:, 0])
    return array(torch.cat(found))


def contrast(model: HfModel, here: Tensor, there: Tensor) -> Contrast:
    """Compare two sides on one answer.

    Args:
        model: The base.
        here: Normed residuals of the one side, `[answer, d_model]`.
        there: Those of the other.

    Returns:
        The contrast, exact over the vocabulary.
    """
    gained = contribution = torch.zeros(())
    for one, other in model.in_chunks(here, there):
        log_p, log_q = F.log_softmax(one, dim=-1), F.log_softmax(other, dim=-1)
        p, q = log_p.exp(), log_q.exp()
        gained = gained.to(p.device) + (p - q).sum(dim=0)
        contribution = contribution.to(p.device) + (p * (log_p - log_q)).sum(dim=0)
    tokens = len(here)
    return Contrast(float(contribution.sum()) / max(1, tokens), array(gained), array(contribution), tokens)


def first_tokens(model: HfModel, hidden: Tensor) -> Floats:
    """Log-probabilities over the vocabulary, `[n, vocab]`, of normed residuals `[n, d_model]`."""
    return np.concatenate([array(F.log_softmax(logits, dim=-1)) for (logits,) in model.in_chunks(hidden)])


def unembedded(model: HfModel, vectors: Tensor, *, normed: bool) -> Floats:
    """Scores over the vocabulary, `[n, vocab]`, of residuals `[n, d_model]`, as the logit lens or as they stand."""
    if not normed:
        weight = model.parts.head.weight
        given = vectors.to(weight.device)
        return np.concatenate([array(F.linear(given, words.float())) for words in torch.split(weight, WORDS)], axis=1)
    return np.concatenate([array(logits) for (logits,) in model.in_chunks(model.normed(vectors))])


def array(tensor: Tensor) -> Floats:
    """A copy as numpy, so that no caller holds the engine's memory."""
    copy: Floats = tensor.detach().to("cpu", torch.float32, copy=True).numpy()
    return copy


def _like_chunks(model: HfModel, said: Sequence[int]) -> Sequence[Tensor]:
    return torch.split(torch.tensor(list(said), dtype=torch.long), model.positions_at_a_time)
