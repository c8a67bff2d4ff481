"""A Subject on the small engine: the reductions of every reading, where the tensors are."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from audit_env.runtime.gradients import Leaf, Traced
from audit_env.runtime.local import CAPABILITIES, LocalSubject, Rows
from audit_env.runtime.perturbation import Perturbation
from audit_env.runtime.readings import array, contrast, scores
from audit_env.runtime.rendering import Forced, Ids
from audit_env.runtime.small.adapter import Adapter
from audit_env.runtime.small.attention import Noted
from audit_env.runtime.small.model import Llama, Padded, runs
from audit_env.runtime.small.perturbed import PerturbedBase
from audit_env.runtime.small.sweep import Sweep
from audit_env.runtime.subject import Contrast, Floats, LoraFactors, Scores


class SmallSubject(LocalSubject[Llama, Adapter]):
    """A Llama-architecture model on the small engine."""

    engine = "small"
    gives = CAPABILITIES | {"perturbed"}

    def embedding(self) -> Floats:
        """The embedding of every token, `[vocab, d_model]`."""
        return array(self._base.model.weights.embedding)

    def unembedding(self) -> Floats:
        """The unembedding of every token, `[vocab, d_model]`."""
        return array(self._base.model.weights.unembedding)

    def final_norm(self) -> Floats:
        """The weight of the final norm, `[d_model]`."""
        return array(self._base.model.weights.final_norm)

    @asynccontextmanager
    async def perturbed(self, how: Perturbation) -> AsyncIterator["SmallSubject"]:
        """The same subject with perturbed weights (see `Subject.perturbed`)."""
        base = await asyncio.to_thread(PerturbedBase, self._base, how)
        try:
            sides = {side: replace(one, adapter=base.changed(one.adapter)) for side, one in self._sides.items()}
            yield SmallSubject(self.alias, base, sides)
        finally:
            await asyncio.to_thread(base.engine.close)

    def _scores(self, forced: Sequence[Forced], adapter: Adapter | None, top_k: int) -> Rows[Llama, Scores]:
        sweep = _sweep(forced, adapter)

        def compute(model: Llama, rows: Sequence[int]) -> list[Scores]:
            residuals = sweep.residuals(model, rows)
            return [
                scores([model.logits(residual)], forced[row].said, top_k)
                for row, residual in zip(rows, residuals, strict=True)
            ]

        return compute

    def _contrasts(
        self, here: tuple[Sequence[Forced], Adapter | None], there: tuple[Sequence[Forced], Adapter | None], top_k: int
    ) -> Rows[Llama, Contrast]:
        sweeps = [_sweep(*side) for side in (here, there)]

        def compute(model: Llama, rows: Sequence[int]) -> list[Contrast]:
            residuals = zip(*(sweep.residuals(model, rows) for sweep in sweeps), strict=True)
            return [contrast([(model.logits(one), model.logits(other))], top_k) for one, other in residuals]

        return compute

    def _first_tokens(self, prompts: Sequence[Ids], adapter: Adapter | None) -> Rows[Llama, Floats]:
        sweep = Sweep(prompts, adapter, [range(len(one) - 1, len(one)) for one in prompts])

        def compute(model: Llama, rows: Sequence[int]) -> list[Floats]:
            return list(array(F.log_softmax(model.logits(torch.cat(sweep.residuals(model, rows))), dim=-1)))

        return compute

    def _residuals(
        self, forced: Sequence[Forced], wanted: Sequence[range], adapter: Adapter | None, layers: Sequence[int]
    ) -> Rows[Llama, Tensor]:
        edits = [one.edits for one in forced]
        sweep = Sweep([one.ids for one in forced], adapter, wanted, edits=edits, through=max(layers))
        return lambda model, rows: list(sweep.at_layers(model, rows, layers))

    def _attention(self, prompts: Sequence[Ids], adapter: Adapter | None) -> Rows[Llama, Tensor]:
        def compute(model: Llama, rows: Sequence[int]) -> list[Tensor]:
            batch = Padded.of([prompts[row] for row in rows])
            b, t = batch.ids.shape
            noted = Noted(model.shape, batch)
            sides = runs([adapter] * b, t)
            model.blocks(batch.ids.flatten(), torch.arange(t).repeat(b), noted, sides, wanted=torch.arange(0))
            return noted.shares()

        return compute

    def _traced(self, model: Llama, forced: Sequence[Forced], adapter: Adapter | None) -> Traced:
        batch = Padded.of([one.ids for one in forced])
        leaf = Leaf()
        residuals = model.sequences(batch, adapter, between=leaf)
        logits = [
            model.logits(residual[one.predicting.start : one.predicting.stop])
            for residual, one in zip(residuals, forced, strict=True)
        ]
        b, t = batch.ids.shape
        return Traced(leaf.x, [row * t for row in range(b)], logits)

    def _unembedded(self, model: Llama, vectors: Tensor, *, normed: bool) -> Floats:
        return array(model.logits(vectors) if normed else F.linear(vectors, model.weights.unembedding))

    def _factors(self, adapter: Adapter) -> Mapping[str, LoraFactors]:
        return {name: LoraFactors(array(a), array(b), adapter.scale) for name, (a, b) in adapter.modules.items()}


def _sweep(forced: Sequence[Forced], adapter: Adapter | None) -> Sweep:
    """The positions that predict each answer."""
    edits = [one.edits for one in forced]
    return Sweep([one.read for one in forced], adapter, [one.predicting for one in forced], edits=edits)
