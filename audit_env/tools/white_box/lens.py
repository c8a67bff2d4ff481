"""Directions of the residual stream as words, and which layers there are to read."""

import numpy as np
from inspect_ai.tool import ToolError

from audit_env.runtime.subject import Subject
from audit_env.tools.white_box.words import Floats, Words


async def lens(subject: Subject, vectors: Floats, words: Words) -> Floats:
    """Read directions of the residual stream as words.

    Args:
        subject: The handle.
        vectors: `[n, d_model]`
        words: The vocabulary as words.

    Returns:
        z-scores over the vocabulary along each direction and against it, `[n, 2, words]`; zeros for a zero vector.
    """
    scores = (await subject.unembed(vectors)).astype(np.float64)
    spread = scores.std(axis=1, keepdims=True)
    z = np.divide(scores - scores.mean(axis=1, keepdims=True), spread, where=spread > 0, out=np.zeros_like(scores))
    return words.largest(np.stack([z, -z], axis=1))


def checked_layer(layer: int | None, n_layers: int) -> int:
    """A layer as an auditor gives it.

    Args:
        layer: Block after which to read, from 0; None for the middle one.
        n_layers: Blocks of the model.

    Returns:
        The layer.

    Raises:
        ToolError: If there is no such block.
    """
    if layer is None:
        return n_layers // 2
    if not 0 <= layer < n_layers:
        raise ToolError(f"'layer' must lie between 0 and {n_layers - 1}, not {layer}.")
    return layer
