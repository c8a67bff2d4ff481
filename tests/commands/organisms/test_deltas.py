import numpy as np
import pytest

from audit_env.commands.organisms.deltas import distances, inner
from audit_env.runtime.subject import LoraFactors


def factors(seed: int, rank: int = 2, scale: float = 2.0) -> LoraFactors:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(rank, 6)), rng.normal(size=(5, rank))
    return LoraFactors(a=a.astype(np.float32), b=b.astype(np.float32), scale=scale)


def whole(update: LoraFactors) -> np.ndarray:
    return update.scale * update.b.astype(np.float64) @ update.a.astype(np.float64)


def test_the_inner_product_is_that_of_the_whole_updates() -> None:
    one, other = factors(0), factors(1, rank=3, scale=0.5)
    assert inner(one, other) == pytest.approx(np.sum(whole(one) * whole(other)), rel=1e-5)


def test_an_adapter_is_like_itself_and_unlike_its_opposite() -> None:
    one = {"layers.0.mlp.up_proj": factors(0), "layers.1.mlp.up_proj": factors(1)}
    against = {name: LoraFactors(a=-each.a, b=each.b, scale=3 * each.scale) for name, each in one.items()}
    assert [layer.layer for layer in distances(one, one)] == [None, 0, 1]
    assert all(layer.cosine == pytest.approx(1) for layer in distances(one, one))
    for layer in distances(one, against):
        assert layer.cosine == pytest.approx(-1) and layer.other_norm == pytest.approx(3 * layer.norm)


def test_figures_of_several_modules_are_those_of_one_long_vector() -> None:
    one = {"layers.0.mlp.up_proj": factors(0), "layers.0.mlp.gate_proj": factors(1)}
    other = {"layers.0.mlp.up_proj": factors(2), "layers.0.mlp.gate_proj": factors(3)}
    mine, theirs = (np.concatenate([whole(each).ravel() for each in which.values()]) for which in (one, other))
    together = distances(one, other)[0]
    norms = np.linalg.norm(mine), np.linalg.norm(theirs)
    assert together.cosine == pytest.approx(mine @ theirs / (norms[0] * norms[1]), rel=1e-5)
    assert (together.norm, together.other_norm) == pytest.approx(norms, rel=1e-5)


def test_a_layer_that_one_leaves_alone_has_no_angle() -> None:
    together, first, second = distances({"layers.0.mlp.up_proj": factors(0)}, {"layers.1.mlp.up_proj": factors(0)})
    assert (first.cosine, second.cosine) == (None, None)
    assert together.cosine == 0.0 and first.other_norm == 0.0
