"""The hf engine against the small one: the same folders, the same answers and readings."""

import numpy as np
import pytest
import torch

from audit_env.errors import CapabilityError, ParameterError
from audit_env.runtime.hf import model as hf_model
from audit_env.runtime.hf.subject import HfSubject
from audit_env.runtime.local import Casting
from audit_env.runtime.subject import Side, Subject

from .conftest import Folders, Pair, header_residuals, make_hf, prompts, run, user

CLOSE = 1e-4
CONVERSATIONS = [user(text) for text in prompts(9, seed=1)]
ANSWERS = ["the fox", "yes , you could visit the mountains .", "", *prompts(6, seed=2)]
SIDES: tuple[Side, ...] = ("target", "base", "sham")


@pytest.fixture(scope="module")
def small(pair: Pair) -> Subject:
    return pair.subject(2, sham=3)


@pytest.mark.parametrize("side", SIDES)
def test_greedy_answers_are_those_of_the_small_engine(hf: HfSubject, small: Subject, side: Side) -> None:
    found, wanted = (run(one.generate(CONVERSATIONS, side=side, temperature=0, max_tokens=40)) for one in (hf, small))
    assert found == wanted


@pytest.mark.parametrize("side", SIDES)
def test_sampled_answers_are_those_of_the_small_engine(hf: HfSubject, small: Subject, side: Side) -> None:
    settings = {"n": 3, "temperature": 0.8, "top_p": 0.9, "max_tokens": 24, "prefill": "yes , I", "seed": 6}
    found, wanted = (run(one.generate(CONVERSATIONS, side=side, **settings)) for one in (hf, small))  # type: ignore[arg-type]
    assert found == wanted
    assert len({sample.ids for samples in found for sample in samples}) > len(CONVERSATIONS)


@pytest.mark.parametrize("side", SIDES)
def test_scores_are_those_of_the_small_engine(hf: HfSubject, small: Subject, side: Side) -> None:
    found, wanted = (run(one.score(CONVERSATIONS, ANSWERS, side=side)) for one in (hf, small))
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours.logprobs, theirs.logprobs, atol=CLOSE)
        assert ours.logprobs.dtype == np.float32
    first, other = (run(one.first_token(CONVERSATIONS, side=side)) for one in (hf, small))
    np.testing.assert_allclose(first, other, atol=CLOSE)


@pytest.mark.parametrize("sides", [("target", "base"), ("target", "sham"), ("base", "target")])
def test_contrasts_are_those_of_the_small_engine(hf: HfSubject, small: Subject, sides: tuple[Side, Side]) -> None:
    here, there = sides
    found, wanted = (run(one.contrast(CONVERSATIONS, ANSWERS, side=here, other=there)) for one in (hf, small))
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.tokens == theirs.tokens
        assert ours.kl == pytest.approx(theirs.kl, abs=CLOSE)
        np.testing.assert_allclose(ours.gained, theirs.gained, atol=CLOSE)
        np.testing.assert_allclose(ours.contribution, theirs.contribution, atol=CLOSE)
    assert max(one.kl for one in found) > 0.01


@pytest.mark.parametrize("layer", [-1, 0, 1])
@pytest.mark.parametrize("side", SIDES)
def test_residuals_are_those_of_the_small_engine(hf: HfSubject, small: Subject, side: Side, layer: int) -> None:
    found, wanted = (header_residuals(one, CONVERSATIONS, side=side, layer=layer) for one in (hf, small))
    np.testing.assert_allclose(found, wanted, rtol=CLOSE, atol=CLOSE)


@pytest.mark.parametrize("normed", [True, False])
def test_vectors_read_as_on_the_small_engine(hf: HfSubject, small: Subject, normed: bool) -> None:
    vectors = header_residuals(small, CONVERSATIONS, layer=0)
    found, wanted = (run(one.unembed(vectors, normed=normed)) for one in (hf, small))
    np.testing.assert_allclose(found, wanted, atol=CLOSE)


@pytest.mark.parametrize("side", SIDES)
def test_weights_are_those_of_the_small_engine(hf: HfSubject, small: Subject, side: Side) -> None:
    found, wanted = hf.lora(side), small.lora(side)
    assert found.keys() == wanted.keys()
    for name, factors in found.items():
        np.testing.assert_array_equal(factors.a, wanted[name].a)
        np.testing.assert_array_equal(factors.b, wanted[name].b)
        assert factors.scale == pytest.approx(wanted[name].scale)
    for part in ("embedding", "unembedding", "final_norm"):
        np.testing.assert_array_equal(getattr(hf, part)(), getattr(small, part)())
    hf.embedding()[:] = 0
    assert hf.embedding().any()  # a copy


def test_a_prompted_organism_is_the_base_under_its_prompt(hf: HfSubject) -> None:
    prompted = HfSubject("t-00000001", hf._base, {"target": Casting(None, "be odd"), "base": Casting()})
    shown = [[{"role": "system", "content": "be odd"}, *talk] for talk in CONVERSATIONS]
    assert run(prompted.generate(CONVERSATIONS)) == run(prompted.generate(shown, side="base"))
    [one, *_] = run(prompted.contrast(CONVERSATIONS, ANSWERS))
    assert one.kl > 0 and prompted.lora() == {}


def test_malformed_calls_are_refused(hf: HfSubject) -> None:
    for ask, message in (
        (lambda: hf.score([user("hi")], []), "1 conversations and 0 answers"),
        (lambda: hf.residuals([user("hi")], layers=[2]), "layers=2: the model has the layers 0 to 1"),
        (lambda: hf.generate([user("hi")], side="other"), "side='other'"),  # type: ignore[arg-type]
        (lambda: hf.unembed(np.zeros((2, 3), np.float32)), "Vectors of 3 numbers were given"),
    ):
        with pytest.raises(ParameterError, match=message):
            run(ask())  # type: ignore[arg-type]
    bare = HfSubject("t-00000001", hf._base, {"target": Casting(), "base": Casting()})
    with pytest.raises(CapabilityError, match="engine 'hf' cannot give 'sham'"):
        run(bare.score([user("hi")], ["yes"], side="sham"))


def test_the_tokenizer_is_that_of_the_small_engine(hf: HfSubject, small: Subject) -> None:
    assert hf.tokens() == small.tokens()
    assert hf.encode("the quick brown fox") == small.encode("the quick brown fox")
    for size in ("n_layers", "d_model", "vocab_size", "context_length"):
        assert getattr(hf, size) == getattr(small, size)
    assert small.capabilities - hf.capabilities == {"perturbed"} and hf.capabilities <= small.capabilities


def test_readings_are_the_same_when_logits_are_made_a_few_at_a_time(
    hf: HfSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(hf.contrast(CONVERSATIONS, ANSWERS)), run(hf.score(CONVERSATIONS, ANSWERS))
    seen: list[int] = []
    hook = hf._base.model.parts.head.register_forward_hook(lambda _, __, out: seen.append(out.numel()))
    monkeypatch.setattr(hf_model, "LOGITS", 2 * hf.vocab_size)
    chunked = run(hf.contrast(CONVERSATIONS, ANSWERS)), run(hf.score(CONVERSATIONS, ANSWERS))
    hook.remove()
    assert seen and max(seen) <= 2 * hf.vocab_size
    for ours, theirs in zip(chunked[0], whole[0], strict=True):
        np.testing.assert_allclose(ours.contribution, theirs.contribution, atol=1e-5)
    for score, other in zip(chunked[1], whole[1], strict=True):
        np.testing.assert_allclose(score.logprobs, other.logprobs, atol=1e-5)


def test_bf16_is_near_fp32(folders: Folders, hf: HfSubject) -> None:
    coarse = make_hf(folders, dtype="bfloat16")
    try:
        assert not coarse._base.model.exact and hf._base.model.exact
        assert coarse._base.model.parts.head.weight.dtype == torch.bfloat16
        fine, rough = (run(one.first_token(CONVERSATIONS)) for one in (hf, coarse))
        assert 0 < np.abs(fine - rough).max() < 0.5
        assert run(coarse.generate(CONVERSATIONS, max_tokens=8)) == run(coarse.generate(CONVERSATIONS, max_tokens=8))
    finally:
        coarse._base.engine.close()
