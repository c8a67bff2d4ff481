"""What must hold before a reading counts: checks on a few tokens, when a model or an adapter is loaded.

An engine for any architecture rests on assumptions (which module is the final norm, that padding is masked, that a
cache continues what it holds). Each is recomputed here against the model's own forward pass, so that an architecture
that breaks one is refused and not misread.
"""

import torch
from torch import Tensor

from audit_env.errors import WeightsError
from audit_env.runtime.editing import Capture
from audit_env.runtime.hf.adapters import Worn
from audit_env.runtime.hf.model import HfModel
from audit_env.runtime.hf.padding import LeftPadded
from audit_env.runtime.hf.parts import unknown

LONG, SHORT = tuple(range(1, 10)), tuple(range(3, 9))
"""Probes: two sequences of tokens that every vocabulary has."""

ROUNDING = {True: 1e-3, False: 5e-2}
"""How far two ways to the same logits may lie apart, as a share of the largest; for fp32, and for coarser numbers."""


def check_model(model: HfModel) -> None:
    """Check that the engine's ways to the logits are the model's own.

    Args:
        model: Without adapters yet.

    Raises:
        WeightsError: If one is not: the architecture is built in a way that the engine does not know.
    """
    long, short = model.whole(LONG), model.whole(SHORT)
    batch = model.padded([LONG, SHORT])
    last = Capture([model.n_layers - 1])
    hidden = model.hidden(batch, None, between=last)
    read = model.logits(model.normed(last.stacked()[: len(LONG), 0]))
    _agree(model, read, long, "its last residual, final norm and head give other logits")
    _agree(model, model.logits(hidden[0]), long, "its head gives other logits")
    _agree(model, model.logits(hidden[1, -len(SHORT) :]), short, "padding on the left changes its logits")
    _agree(model, _step_by_step(model), torch.stack((long[-1], short[-1])), "a cache changes its logits")


def check_zero(model: HfModel, adapter: Worn) -> None:
    """Check that an adapter changes the logits through B alone.

    Args:
        model: The base.
        adapter: An adapter with B = 0.

    Raises:
        WeightsError: If its logits are not the base's, bit for bit.
    """
    batch = model.padded([LONG, SHORT])
    base, zero = (model.logits(model.hidden(batch, side)[:, -1]) for side in (None, adapter))
    if not torch.equal(base, zero):
        raise WeightsError(
            f"{model.folder}: an adapter whose B is zero moves the logits by {float((base - zero).abs().max()):.1e}, "
            "so what an adapter does cannot be told from what loading it does; hold the model in another precision "
            "(AUDIT_ENV_HF_DTYPE)."
        )


def _step_by_step(model: HfModel) -> Tensor:
    """Logits behind both probes, read up to their last tokens and then on from the cache."""
    cache = model.cache()
    batch = model.padded([LONG[:-1], SHORT[:-1]])
    model.hidden(batch, None, cache=cache)
    cache.batch_select_indices(torch.tensor([1, 0], device=model.device))
    after = LeftPadded.after(batch.mask.flip(0), [SHORT[-1], LONG[-1]])
    return model.logits(model.hidden(after, None, cache=cache)[:, -1]).flip(0)


def _agree(model: HfModel, ours: Tensor, theirs: Tensor, otherwise: str) -> None:
    theirs = theirs.to(ours.device)
    apart, scale = float((ours - theirs).abs().max()), float(theirs.abs().max())
    if not apart <= ROUNDING[model.exact] * scale:
        raise unknown(model.model_type, model.folder, f"{otherwise} (by {apart:.1e})")
