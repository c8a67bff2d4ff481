"""Perturbed weights: noise and rounding, the same for all sides."""

import threading
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from audit_env.errors import CapabilityError, EngineClosed, ParameterError
from audit_env.runtime.perturbation import Perturbation
from audit_env.runtime.perturbing import perturbed, rounded_rows
from audit_env.runtime.subject import Floats, Side, Subject

from .conftest import Folders, Pair, run, user

TALKS = [user("what is a good soup ?"), user("tell me about music and games .")]
SIDES: tuple[Side, ...] = ("target", "base", "sham")
LARGE = Perturbation(noise=0.3, seed=5)


async def first(subject: Subject, how: Perturbation) -> dict[Side, Floats]:
    async with subject.perturbed(how) as other:
        return {side: await other.first_token(TALKS, side=side) for side in SIDES}


def merged(folders: Folders, number: int | None, how: Perturbation) -> Floats:
    """First tokens of the random model with noise and an adapter put into its weights by transformers and peft."""
    from peft import PeftModel

    model: Any = LlamaForCausalLM.from_pretrained(folders.base, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 2:
                short = name.removeprefix("model.").removesuffix(".weight")
                parameter.copy_(perturbed(short, parameter, how, block=".layers." in name))
    if number is not None:
        model = PeftModel.from_pretrained(model, folders.adapters[number]).merge_and_unload()
    from audit_env.runtime.chat import Chat

    chat = Chat(folders.base)
    with torch.no_grad():
        logits = [model(input_ids=torch.tensor([chat.prompt(talk).ids])).logits[0, -1] for talk in TALKS]
    return torch.stack(logits).log_softmax(-1).numpy()


def test_noise_is_put_on_the_merged_weights_of_every_side_alike(pair: Pair, folders: Folders) -> None:
    subject = pair.subject(2, sham=3)
    found = run(first(subject, LARGE))
    for side, number in (("target", 1), ("base", None), ("sham", 2)):
        np.testing.assert_allclose(found[side], merged(folders, number, LARGE), atol=1e-4)
        plain = run(subject.first_token(TALKS, side=side))
        assert np.abs(found[side] - plain).max() > 0.05


def test_rounding_takes_the_blocks_and_what_a_side_adds(pair: Pair, folders: Folders) -> None:
    subject = pair.subject(2, sham=3)
    how = Perturbation(bits=4)
    found = run(first(subject, how))
    np.testing.assert_allclose(found["base"], merged(folders, None, how), atol=1e-4)

    async def factors() -> Any:
        async with subject.perturbed(how) as other:
            return other.lora("target")

    for name, one in run(factors()).items():
        whole = subject.lora("target")[name]
        for rounded, exact in ((one.a, whole.a), (one.b, whole.b)):
            np.testing.assert_allclose(rounded, rounded_rows(torch.from_numpy(exact), 4).numpy(), atol=1e-6)


def test_nothing_is_done_by_the_empty_perturbation_and_the_subject_stays_as_it_is(pair: Pair) -> None:
    subject = pair.subject(2, sham=3)
    before = {side: run(subject.first_token(TALKS, side=side)) for side in SIDES}
    same, noisy = run(first(subject, Perturbation())), run(first(subject, LARGE))
    after = {side: run(subject.first_token(TALKS, side=side)) for side in SIDES}
    for side in SIDES:
        np.testing.assert_array_equal(same[side], before[side])
        np.testing.assert_array_equal(after[side], before[side])
        assert (noisy[side] != before[side]).any()


def test_noise_depends_on_the_seed_and_the_matrix_alone(pair: Pair) -> None:
    matrix = torch.randn(300, 200, generator=torch.Generator().manual_seed(0)) * 3
    noisy = perturbed("lm_head", matrix, Perturbation(noise=0.1, seed=1), block=False)
    assert torch.equal(noisy, perturbed("lm_head", matrix, Perturbation(noise=0.1, seed=1), block=False))
    assert not torch.equal(noisy, perturbed("lm_head", matrix, Perturbation(noise=0.1, seed=2), block=False))
    assert not torch.equal(noisy, perturbed("other", matrix, Perturbation(noise=0.1, seed=1), block=False))
    assert float((noisy - matrix).std() / matrix.std()) == pytest.approx(0.1, rel=0.02)
    assert run(first(pair.subject(2, sham=3), LARGE)).keys() == set(SIDES)


def test_rounding_leaves_few_values_a_row_and_stays_near() -> None:
    matrix = torch.randn(5, 400, generator=torch.Generator().manual_seed(0))
    matrix[4] = 0.0
    for bits in (2, 4, 8):
        rounded = rounded_rows(matrix, bits)
        assert all(len(row.unique()) <= 2**bits - 1 for row in rounded)
        half_a_step = matrix.abs().amax(dim=1, keepdim=True) / (2 ** (bits - 1) - 1) / 2
        assert bool(((rounded - matrix).abs() <= half_a_step + 1e-6).all())


def test_the_copy_is_gone_when_its_context_ends(pair: Pair) -> None:
    subject = pair.subject(2, sham=3)

    async def use() -> Subject:
        async with subject.perturbed(LARGE) as other:
            assert [sample.text for [sample] in await other.generate(TALKS, max_tokens=3)] != [""]
            assert other.alias == subject.alias and other.capabilities == subject.capabilities
            assert repr(other) == repr(subject)
        return other

    threads = threading.active_count()
    gone = run(use())
    assert threading.active_count() <= threads
    with pytest.raises(EngineClosed):
        run(gone.score(TALKS, ["yes", "no"]))


def test_the_same_seed_pairs_perturbed_and_unperturbed_answers(pair: Pair) -> None:
    subject = pair.subject(2, sham=3)

    async def both() -> list[Any]:
        async with subject.perturbed(Perturbation()) as other:
            return [await one.generate(TALKS, n=3, seed=4, max_tokens=8) for one in (subject, other)]

    plain, copied = run(both())
    assert plain == copied


@pytest.mark.parametrize("wrong", [{"noise": -0.1}, {"noise": float("nan")}, {"bits": 1}, {"bits": 17}], ids=str)
def test_what_cannot_be_done_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match=f"Perturbation.{next(iter(wrong))}="):
        Perturbation(**wrong)


def test_an_engine_that_cannot_says_which_can(hf: Any) -> None:
    assert "perturbed" not in hf.capabilities
    with pytest.raises(CapabilityError, match="cannot give 'perturbed'.*engines that can: small"):
        hf.perturbed(LARGE)
