"""A Subject on the small engine: the reductions of every reading, where the tensors are."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from audit_env.runtime.local import Forced, Ids, LocalSubject, Rows
from audit_env.runtime.small.adapter import Adapter
from audit_env.runtime.small.model import Llama
from audit_env.runtime.small.sweep import Sweep
from audit_env.runtime.subject import Contrast, Floats, LoraFactors


class SmallSubject(LocalSubject[Llama, Adapter]):
    """A Llama-architecture model on the small engine."""

    engine = "small"

    def embedding(self) -> Floats:
        """The embedding of every token, `[vocab, d_model]`."""
        return _array(self._base.model.weights.embedding)

    def unembedding(self) -> Floats:
        """The unembedding of every token, `[vocab, d_model]`."""
        return _array(self._base.model.weights.unembedding)

    def final_norm(self) -> Floats:
        """The weight of the final norm, `[d_model]`."""
        return _array(self._base.model.weights.final_norm)

    def _scores(self, forced: Sequence[Forced], adapter: Adapter | None) -> Rows[Llama, Floats]:
        sweep = _sweep(forced, adapter)

        def compute(model: Llama, rows: Sequence[int]) -> list[Floats]:
            residuals = sweep.residuals(model, rows)
            return [_scores(model, forced[row], residual) for row, residual in zip(rows, residuals, strict=True)]

        return compute

    def _contrasts(
        self, here: tuple[Sequence[Forced], Adapter | None], there: tuple[Sequence[Forced], Adapter | None]
    ) -> Rows[Llama, Contrast]:
        sweeps = [_sweep(*side) for side in (here, there)]

        def compute(model: Llama, rows: Sequence[int]) -> list[Contrast]:
            residuals = zip(*(sweep.residuals(model, rows) for sweep in sweeps), strict=True)
            return [_contrast(model.logits(one), model.logits(other)) for one, other in residuals]

        return compute

    def _first_tokens(self, prompts: Sequence[Ids], adapter: Adapter | None) -> Rows[Llama, Floats]:
        sweep = _last(prompts, adapter)

        def compute(model: Llama, rows: Sequence[int]) -> list[Floats]:
            return list(_array(F.log_softmax(model.logits(torch.cat(sweep.residuals(model, rows))), dim=-1)))

        return compute

    def _residuals(self, prompts: Sequence[Ids], adapter: Adapter | None, *, layer: int) -> Rows[Llama, Floats]:
        sweep = _last(prompts, adapter, through=layer)
        return lambda model, rows: list(_array(torch.cat(sweep.residuals(model, rows))))

    def _unembedded(self, model: Llama, vectors: Tensor, *, normed: bool) -> Floats:
        return _array(model.logits(vectors) if normed else F.linear(vectors, model.weights.unembedding))

    def _factors(self, adapter: Adapter) -> Mapping[str, LoraFactors]:
        return {name: LoraFactors(_array(a), _array(b), adapter.scale) for name, (a, b) in adapter.modules.items()}


def _sweep(forced: Sequence[Forced], adapter: Adapter | None) -> Sweep:
    """The positions that predict each answer."""
    return Sweep([one.read for one in forced], adapter, [one.answer for one in forced])


def _last(prompts: Sequence[Ids], adapter: Adapter | None, through: int | None = None) -> Sweep:
    """The last position of each prompt."""
    return Sweep(prompts, adapter, [1] * len(prompts), through=through)


def _scores(model: Llama, forced: Forced, residual: Tensor) -> Floats:
    """Log-probability of each answer token, from the residual that predicts it, `[answer, d_model]`."""
    said = torch.tensor(forced.said, dtype=torch.long)
    logs = F.log_softmax(model.logits(residual), dim=-1)
    return _array(logs.gather(1, said[:, None])[:, 0])


def _contrast(here: Tensor, there: Tensor) -> Contrast:
    """Compare the logits of two sides, both `[answer, vocab]`."""
    log_p, log_q = F.log_softmax(here, dim=-1), F.log_softmax(there, dim=-1)
    p, q = log_p.exp(), log_q.exp()
    contribution = (p * (log_p - log_q)).sum(dim=0)
    tokens = len(here)
    return Contrast(
        kl=float(contribution.sum()) / max(1, tokens),
        gained=_array((p - q).sum(dim=0)),
        contribution=_array(contribution),
        tokens=tokens,
    )


def _array(tensor: Tensor) -> Floats:
    """A copy as numpy, so that no caller holds the engine's memory."""
    array: Floats = tensor.detach().to(torch.float32).numpy().copy()
    return array
