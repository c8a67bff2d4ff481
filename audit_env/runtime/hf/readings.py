"""Reductions over a whole vocabulary that is too large for memory, where the tensors are."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from audit_env.runtime.hf.model import HfModel
from audit_env.runtime.readings import array
from audit_env.runtime.subject import Floats

WORDS = 2**14
"""Rows of the unembedding that are turned into fp32 at a time."""


def first_tokens(model: HfModel, hidden: Tensor) -> Floats:
    """Log-probabilities over the vocabulary, `[n, vocab]`, of normed residuals `[n, d_model]`."""
    return np.concatenate([array(F.log_softmax(logits, dim=-1)) for logits in model.in_chunks(hidden)])


def unembedded(model: HfModel, vectors: Tensor, *, normed: bool) -> Floats:
    """Scores over the vocabulary, `[n, vocab]`, of residuals `[n, d_model]`, as the logit lens or as they stand."""
    if not normed:
        weight = model.parts.head.weight
        given = vectors.to(weight.device)
        return np.concatenate([array(F.linear(given, words.float())) for words in torch.split(weight, WORDS)], axis=1)
    return np.concatenate([array(logits) for logits in model.in_chunks(model.normed(vectors))])
