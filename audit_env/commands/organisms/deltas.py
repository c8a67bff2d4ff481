"""How far apart two adapters of one base lie in weight space, read from their low-rank factors."""

import re
from collections.abc import Iterable, Mapping

import numpy as np

from audit_env.catalog.models import Strict
from audit_env.runtime.subject import LoraFactors

_LAYER = re.compile(r"layers\.(\d+)\.")


class LayerDistance(Strict):
    """Two updates of one layer, or of all, each taken as one long vector."""

    layer: int | None
    """None for all layers together."""
    cosine: float | None
    """1 for the same direction, about 0 for unrelated ones. None where either leaves the layer as it is."""
    norm: float
    """Frobenius norm of the first update."""
    other_norm: float


def distances(one: Mapping[str, LoraFactors], other: Mapping[str, LoraFactors]) -> list[LayerDistance]:
    """Compare two updates, layer by layer and as a whole.

    Args:
        one: Factors by module, as `Subject.lora` gives them.
        other: Those of the other adapter, on the same base.

    Returns:
        The comparison of all layers together, then of each layer.
    """
    modules = sorted(one.keys() | other.keys())
    layers = sorted({_layer(module) for module in modules})
    by_layer = {layer: [module for module in modules if _layer(module) == layer] for layer in layers}
    return [_distance(None, modules, one, other)] + [
        _distance(layer, within, one, other) for layer, within in by_layer.items()
    ]


def inner(one: LoraFactors, other: LoraFactors) -> float:
    """Inner product of two updates `s B A`, without forming either: tr((B1' B2) (A2 A1')), of the size of the ranks."""
    left = one.b.T.astype(np.float64) @ other.b
    right = one.a.astype(np.float64) @ other.a.T
    return float(one.scale * other.scale * np.sum(left * right))


def _distance(
    layer: int | None, modules: Iterable[str], one: Mapping[str, LoraFactors], other: Mapping[str, LoraFactors]
) -> LayerDistance:
    shared = square = other_square = 0.0
    for module in modules:
        # A module that an adapter leaves as it is adds nothing to its norm, nor to what the two share.
        mine, theirs = one.get(module), other.get(module)
        square += inner(mine, mine) if mine else 0.0
        other_square += inner(theirs, theirs) if theirs else 0.0
        shared += inner(mine, theirs) if mine and theirs else 0.0
    norm, other_norm = square**0.5, other_square**0.5
    cosine = shared / (norm * other_norm) if norm and other_norm else None
    return LayerDistance(layer=layer, cosine=cosine, norm=norm, other_norm=other_norm)


def _layer(module: str) -> int:
    match = _LAYER.search(module)
    assert match is not None, module  # `Subject.lora` names every module by its layer
    return int(match[1])
