"""A Subject on the hf engine: the readings of any architecture.

Answers depend on seed, prompt and number alone, as on the small engine. In fp32 that holds whatever shares the batch,
near ties included, since a choice that rounding could turn over is made on the row's own logits. In bf16 and coarser
rounding moves logits by hundredths, which is too much for that: a near tie may there fall otherwise in another
company, and a reading move by as much.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TypeVar

from torch import Tensor

from audit_env.runtime.hf.memory import in_halves
from audit_env.runtime.hf.model import HfModel
from audit_env.runtime.hf.readings import array, contrast, first_tokens, scores, unembedded
from audit_env.runtime.local import Forced, Ids, LocalSubject, Rows
from audit_env.runtime.subject import Contrast, Floats, LoraFactors

T = TypeVar("T")


class HfSubject(LocalSubject[HfModel, str]):
    """A causal language model on the hf engine."""

    engine = "hf"

    def embedding(self) -> Floats:
        """The embedding of every token, `[vocab, d_model]`."""
        return array(self._base.model.parts.embedding.weight)

    def unembedding(self) -> Floats:
        """The unembedding of every token, `[vocab, d_model]`."""
        return array(self._base.model.parts.head.weight)

    def final_norm(self) -> Floats:
        """What the final norm multiplies each coordinate by, `[d_model]`."""
        return array(self._base.model.parts.gain)

    def _scores(self, forced: Sequence[Forced], adapter: str | None) -> Rows[HfModel, Floats]:
        def compute(model: HfModel, rows: Sequence[int]) -> list[Floats]:
            chosen = [forced[row] for row in rows]
            hidden = _predicting(model, chosen, adapter)
            return [scores(model, one, answer.said) for one, answer in zip(hidden, chosen, strict=True)]

        return compute

    def _contrasts(
        self, here: tuple[Sequence[Forced], str | None], there: tuple[Sequence[Forced], str | None]
    ) -> Rows[HfModel, Contrast]:
        def compute(model: HfModel, rows: Sequence[int]) -> list[Contrast]:
            sides = (_predicting(model, [forced[row] for row in rows], adapter) for forced, adapter in (here, there))
            return [contrast(model, one, other) for one, other in zip(*sides, strict=True)]

        return compute

    def _first_tokens(self, prompts: Sequence[Ids], adapter: str | None) -> Rows[HfModel, Floats]:
        def compute(model: HfModel, rows: Sequence[int]) -> list[Floats]:
            batch = model.padded([prompts[row] for row in rows])
            return list(first_tokens(model, model.hidden(batch, adapter)[:, -1]))

        return compute

    def _residuals(self, prompts: Sequence[Ids], adapter: str | None, *, layer: int) -> Rows[HfModel, Floats]:
        def compute(model: HfModel, rows: Sequence[int]) -> list[Floats]:
            batch = model.padded([prompts[row] for row in rows])
            return list(array(model.residual(batch, adapter, layer)[:, -1]))

        return compute

    def _unembedded(self, model: HfModel, vectors: Tensor, *, normed: bool) -> Floats:
        return unembedded(model, vectors, normed=normed)

    def _factors(self, adapter: str) -> Mapping[str, LoraFactors]:
        def compute(model: HfModel) -> dict[str, LoraFactors]:
            factors = model.adapters.factors(adapter)
            return {name: LoraFactors(array(a), array(b), scale) for name, (a, b, scale) in factors.items()}

        return self._base.engine.run(compute).result()

    def _compute(
        self, model: HfModel, compute: Rows[HfModel, T], rows: Sequence[int], lengths: Sequence[int]
    ) -> list[T]:
        return in_halves(rows, lengths, partial(compute, model))


def _predicting(model: HfModel, forced: Sequence[Forced], adapter: str | None) -> list[Tensor]:
    """Normed residuals that predict each answer, `[answer, d_model]`."""
    hidden = model.hidden(model.padded([one.read for one in forced]), adapter)
    return [row[len(row) - one.answer :] for row, one in zip(hidden, forced, strict=True)]
