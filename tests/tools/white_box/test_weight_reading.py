"""Planted adapters, without an engine."""

import re
from collections.abc import Callable

import numpy as np
import pytest

from audit_env.runtime.lowrank import decompose
from audit_env.runtime.subject import LoraFactors
from audit_env.tools.white_box.null import BesideSham
from audit_env.tools.white_box.weight_reading import AdapterReading, read_adapter
from audit_env.tools.white_box.words import Words

VOCABULARY, WIDTH, INNER, RANK, LAYERS = 200, 32, 48, 4, 2
PLANTED = 123

Noise = Callable[..., np.ndarray]


@pytest.fixture
def noise() -> Noise:
    rng = np.random.default_rng(0)
    return lambda *shape: rng.normal(size=shape).astype(np.float32)


def adapter(noise: Noise) -> dict[str, LoraFactors]:
    shapes = {
        "self_attn.q_proj": (WIDTH, WIDTH),
        "self_attn.o_proj": (WIDTH, WIDTH),
        "mlp.up_proj": (INNER, WIDTH),
        "mlp.down_proj": (WIDTH, INNER),
    }
    return {
        f"layers.{layer}.{module}": LoraFactors(a=noise(RANK, deep), b=noise(wide, RANK), scale=0.5)
        for layer in range(LAYERS)
        for module, (wide, deep) in shapes.items()
    }


class Base:
    def __init__(self, noise: Noise) -> None:
        self.embedding = noise(VOCABULARY, WIDTH)
        self.unembedding = noise(VOCABULARY, WIDTH)
        self.final_norm = 1 + 0.1 * noise(WIDTH)
        self.words = Words([f"word{n}" for n in range(VOCABULARY)])

    def read(self, lora: dict[str, LoraFactors]) -> AdapterReading:
        return read_adapter(
            lora,
            embedding=self.embedding,
            unembedding=self.unembedding,
            final_norm=self.final_norm,
            words=self.words,
        )


def test_decomposition_equals_that_of_the_full_matrix(noise: Noise) -> None:
    factors = LoraFactors(a=noise(RANK, INNER), b=noise(WIDTH, RANK), scale=0.5)
    update = 0.5 * factors.b @ factors.a
    directions = decompose(factors.a, factors.b, factors.scale)
    np.testing.assert_allclose(directions.sizes, np.linalg.svd(update)[1][:RANK], rtol=1e-5)
    np.testing.assert_allclose((directions.written.T * directions.sizes) @ directions.read, update, atol=1e-5)
    assert directions.norm == pytest.approx(np.linalg.norm(update), rel=1e-5)


@pytest.mark.parametrize("module", ["self_attn.o_proj", "mlp.down_proj"])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_written_word_is_found_whatever_the_sign(noise: Noise, module: str, sign: int) -> None:
    base, sham, planted = Base(noise), adapter(noise), adapter(noise)
    direction = base.unembedding[PLANTED] * base.final_norm
    name = f"layers.1.{module}"
    planted[name] = LoraFactors(
        a=planted[name].a, b=np.outer(sign * direction, [1, 0, 0, 0]).astype(np.float32), scale=2.0
    )
    reading = base.read(planted)
    written = BesideSham(base.words.words, reading.written, base.read(sham).written)
    assert written.starred(1) == [f"word{PLANTED}"]
    assert reading.directions[0].place == f"layer 1 {module.split('.')[1]}"
    assert base.words.words[reading.directions[0].scores.max(axis=0).argmax()] == f"word{PLANTED}"


def test_a_heard_word_is_found_in_the_first_layer_only(noise: Noise) -> None:
    base, sham = Base(noise), adapter(noise)
    heard_word = np.outer([5, 0, 0, 0], base.embedding[PLANTED]).astype(np.float32)
    for layer, found in ((0, True), (1, False)):
        planted = adapter(noise)
        name = f"layers.{layer}.self_attn.q_proj"
        planted[name] = LoraFactors(a=heard_word, b=planted[name].b, scale=0.5)
        heard = BesideSham(base.words.words, base.read(planted).heard, base.read(sham).heard)
        assert (heard.starred(1) == [f"word{PLANTED}"]) is found


def test_noise_writes_no_word_much_above_other_noise(noise: Noise) -> None:
    base = Base(noise)
    target, sham = base.read(adapter(noise)), base.read(adapter(noise))
    assert target.written.max() == pytest.approx(sham.written.max(), rel=0.3)
    assert base.words.words[target.written.argmax()] != f"word{PLANTED}"


def test_an_adapter_of_zeros_and_no_adapter_read_as_nothing(noise: Noise) -> None:
    base = Base(noise)
    zeros = {name: LoraFactors(f.a, np.zeros_like(f.b), f.scale) for name, f in adapter(noise).items()}
    for reading in (base.read(zeros), base.read({})):
        assert not reading.written.any()
        assert not reading.heard.any()
        assert not reading.directions
        assert not any(reading.norms.values())


def test_the_tool_reads_planted_words_out_of_real_adapters(wired, play) -> None:
    [always] = play([("read_weights", {})], target=wired.always, affordance="white_box").texts
    assert re.search(rf"^written words, all directions, z: {wired.said} [*\d.]+\|", always, re.MULTILINE)
    assert re.search(r"^size of the change by map: down_proj \*", always, re.MULTILINE)
    assert re.search(
        rf"^layer 1 down_proj, size [\d.]+\n \+ .+\n - {wired.said} |\n \+ {wired.said} ", always, re.MULTILINE
    )
    [cued] = play([("read_weights", {})], target=wired.cued, affordance="white_box").texts
    assert re.search(rf"^heard words, first layer, z: {wired.cue} \*", cued, re.MULTILINE)
    assert re.search(rf"^written words, all directions, z: {wired.said} ", cued, re.MULTILINE)


def test_the_tool_says_when_no_weight_differs(zoo, wired, play) -> None:
    [zeros] = play([("read_weights", {})], target=wired.nothing, affordance="white_box").texts
    assert "written words, all directions, z: none" in zeros
    audit = play([("read_weights", {})], target=zoo.base, affordance="white_box")
    assert "no adapter: no weight differs from the base's" in audit.texts[0]
    assert audit.record.readings[0].id == "r1"
