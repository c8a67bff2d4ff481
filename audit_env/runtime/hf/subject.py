"""A Subject on the hf engine: the readings of any architecture.

Answers depend on seed, prompt and number alone, as on the small engine. In fp32 that holds whatever shares the batch,
near ties included, since a choice that rounding could turn over is made on the row's own logits. In bf16 and coarser
rounding moves logits by hundredths, which is too much for that: a near tie may there fall otherwise in another
company, and a reading move by as much.
"""

from collections.abc import Mapping, Sequence
from itertools import chain

import torch
from torch import Tensor

from audit_env.runtime.editing import Capture, editor, in_turn
from audit_env.runtime.gradients import Leaf, Traced
from audit_env.runtime.hf.adapters import Worn
from audit_env.runtime.hf.model import HfModel
from audit_env.runtime.hf.readings import first_tokens, unembedded
from audit_env.runtime.local import LocalSubject, Rows
from audit_env.runtime.readings import array, contrast, scores
from audit_env.runtime.rendering import Forced, Ids
from audit_env.runtime.subject import Contrast, Floats, LoraFactors, Scores


class HfSubject(LocalSubject[HfModel, Worn]):
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

    def _scores(self, forced: Sequence[Forced], adapter: Worn | None, top_k: int) -> Rows[HfModel, Scores]:
        def compute(model: HfModel, rows: Sequence[int]) -> list[Scores]:
            chosen = [forced[row] for row in rows]
            hidden = _predicting(model, chosen, adapter)
            return [
                scores(model.in_chunks(one), answer.said, top_k) for one, answer in zip(hidden, chosen, strict=True)
            ]

        return compute

    def _contrasts(
        self, here: tuple[Sequence[Forced], Worn | None], there: tuple[Sequence[Forced], Worn | None], top_k: int
    ) -> Rows[HfModel, Contrast]:
        def compute(model: HfModel, rows: Sequence[int]) -> list[Contrast]:
            sides = (_predicting(model, [forced[row] for row in rows], adapter) for forced, adapter in (here, there))
            return [
                contrast(zip(model.in_chunks(one), model.in_chunks(other), strict=True), top_k)
                for one, other in zip(*sides, strict=True)
            ]

        return compute

    def _first_tokens(self, prompts: Sequence[Ids], adapter: Worn | None) -> Rows[HfModel, Floats]:
        def compute(model: HfModel, rows: Sequence[int]) -> list[Floats]:
            batch = model.padded([prompts[row] for row in rows])
            return list(first_tokens(model, model.hidden(batch, adapter)[:, -1]))

        return compute

    def _residuals(
        self, forced: Sequence[Forced], wanted: Sequence[range], adapter: Worn | None, layers: Sequence[int]
    ) -> Rows[HfModel, Tensor]:
        def compute(model: HfModel, rows: Sequence[int]) -> list[Tensor]:
            batch = model.padded([forced[row].ids for row in rows])
            windows = [batch.window(n, len(forced[row].ids), forced[row].edits) for n, row in enumerate(rows)]
            places = [window.places(wanted[row]) for window, row in zip(windows, rows, strict=True)]
            capture = Capture(layers, torch.tensor([*chain(*places)], dtype=torch.long))
            model.hidden(batch, adapter, between=in_turn(editor(windows), capture))
            return list(capture.stacked().split_with_sizes([len(one) for one in places]))

        return compute

    def _attention(self, prompts: Sequence[Ids], adapter: Worn | None) -> Rows[HfModel, Tensor]:
        def compute(model: HfModel, rows: Sequence[int]) -> list[Tensor]:
            shares = model.attention(model.padded([prompts[row] for row in rows]), adapter)
            return [row[..., -len(prompts[place]) :] for place, row in zip(rows, shares, strict=True)]

        return compute

    def _traced(self, model: HfModel, forced: Sequence[Forced], adapter: Worn | None) -> Traced:
        batch = model.padded([one.ids for one in forced])
        leaf = Leaf()
        hidden = model.hidden(batch, adapter, between=leaf)
        windows = [batch.window(number, len(one.ids), None) for number, one in enumerate(forced)]
        flat = hidden.flatten(0, 1)
        places = [window.places(one.predicting) for window, one in zip(windows, forced, strict=True)]
        logits = [model.logits(flat[one.start : one.stop]) for one in places]
        return Traced(leaf.x, [window.start for window in windows], logits)

    def _unembedded(self, model: HfModel, vectors: Tensor, *, normed: bool) -> Floats:
        return unembedded(model, vectors, normed=normed)

    def _factors(self, adapter: Worn) -> Mapping[str, LoraFactors]:
        def compute(model: HfModel) -> dict[str, LoraFactors]:
            factors = model.adapters.factors(adapter.name)
            return {
                name: LoraFactors(array(a), array(b), adapter.dose * scale) for name, (a, b, scale) in factors.items()
            }

        return self._base.engine.run(compute).result()


def _predicting(model: HfModel, forced: Sequence[Forced], adapter: Worn | None) -> list[Tensor]:
    """Normed residuals that predict each answer, `[answer, d_model]`."""
    batch = model.padded([one.read for one in forced])
    edits = editor(batch.window(n, len(one.read), one.edits) for n, one in enumerate(forced) if one.edits)
    hidden = model.hidden(batch, adapter, between=edits)
    return [row[len(row) - len(one.said) :] for row, one in zip(hidden, forced, strict=True)]
