"""Doses: a side's adapter scaled, and cut down to its largest singular directions."""

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from audit_env.errors import CapabilityError, ParameterError
from audit_env.runtime.local import Casting, LocalSubject
from audit_env.runtime.lowrank import truncated
from audit_env.runtime.small.subject import SmallSubject
from audit_env.runtime.subject import Dose, Floats, Voice

from .conftest import Folders, Pair, Twins, run

CLOSE = 1e-4


def first(subject: LocalSubject[Any, Any], twins: Twins, side: Voice) -> Floats:
    return run(subject.first_token(twins.talks, side=side))


def test_no_dose_is_the_base_and_the_whole_dose_is_the_side(subject: LocalSubject[Any, Any], twins: Twins) -> None:
    full = max(len(one.a) for one in subject.lora().values())
    for side in ("target", "sham"):
        np.testing.assert_allclose(first(subject, twins, Dose(side, scale=0)), first(subject, twins, "base"), atol=1e-5)
        for dose in (Dose(side), Dose(side, scale=1), Dose(side, rank=full), Dose(side, rank=999)):
            np.testing.assert_array_equal(first(subject, twins, dose), first(subject, twins, side))
    settings: dict[str, Any] = {"max_tokens": 8, "n": 2}
    answers = {side: run(subject.generate(twins.talks, side=side, **settings)) for side in ("target", "base")}
    assert run(subject.generate(twins.talks, side=Dose(), **settings)) == answers["target"]
    assert run(subject.generate(twins.talks, side=Dose(scale=0), **settings)) == answers["base"]


def merged(folders: Folders, subject: LocalSubject[Any, Any], dose: Dose) -> Any:
    """The random model with a dose added to its weights by hand, in fp64, by numpy's SVD of the whole matrices."""
    model = LlamaForCausalLM.from_pretrained(folders.base, dtype=torch.float32)
    modules = dict(model.model.named_modules())
    for name, one in subject.lora(dose.side).items():
        u, sizes, vt = np.linalg.svd(one.scale * one.b.astype(np.float64) @ one.a.astype(np.float64))
        k = dose.rank or len(sizes)
        update = dose.scale * (u[:, :k] * sizes[:k]) @ vt[:k]
        modules[name].weight.data += torch.from_numpy(update.astype(np.float32))
    return model


@pytest.mark.parametrize("twins", ["random"], indirect=True)
@pytest.mark.parametrize(
    "dose", [Dose(rank=1), Dose("sham", rank=1), Dose(scale=2.0), Dose(scale=-0.5, rank=3)], ids=str
)
def test_a_dose_is_the_update_merged_by_hand(
    subject: LocalSubject[Any, Any], twins: Twins, folders: Folders, dose: Dose
) -> None:
    model = merged(folders, subject, dose)
    wanted = []
    for talk in twins.talks:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([subject._base.chat.prompt(talk).ids])).logits
        wanted.append(logits[0, -1].log_softmax(-1).numpy())
    found = first(subject, twins, dose)
    np.testing.assert_allclose(found, wanted, atol=CLOSE)
    assert np.abs(found - first(subject, twins, dose.side)).max() > 100 * CLOSE


def test_the_factors_of_a_dose_are_those_it_computes_with(subject: LocalSubject[Any, Any]) -> None:
    whole = subject.lora()
    for dose in (Dose(scale=3.0), Dose(rank=1), Dose(scale=0.5, rank=2)):
        found = subject.lora(dose)
        assert found.keys() == whole.keys()
        for name, one in found.items():
            full = whole[name]
            u, sizes, vt = np.linalg.svd(full.scale * full.b @ full.a, full_matrices=False)
            k = dose.rank or len(sizes)
            wanted = dose.scale * (u[:, :k] * sizes[:k]) @ vt[:k]
            np.testing.assert_allclose(one.scale * one.b @ one.a, wanted, atol=CLOSE)
            assert dose.rank is None or len(one.a) == dose.rank
    assert subject.lora(Dose(scale=0)) == {}


def test_doses_agree_between_the_engines(twins: Twins) -> None:
    for dose in (Dose(rank=1), Dose("sham", scale=2.5), Dose(scale=0.3, rank=2)):
        found, wanted = (first(one, twins, dose) for one in (twins.hf, twins.small))
        np.testing.assert_allclose(found, wanted, atol=CLOSE)
        texts = [run(one.generate(twins.talks, side=dose, max_tokens=10)) for one in (twins.hf, twins.small)]
        assert texts[0] == texts[1]


def test_doses_asked_for_at_the_same_time_stay_apart(subject: LocalSubject[Any, Any], twins: Twins) -> None:
    """On the hf engine a dose is a state of the model, put on before each pass."""
    voices: list[Voice] = [
        "target",
        Dose(scale=2),
        "base",
        Dose(rank=1),
        Dose("sham", 0.5),
        Dose(scale=2, rank=1),
        "sham",
    ]
    alone = [first(subject, twins, voice) for voice in voices]

    async def storm() -> list[Floats]:
        return list(await asyncio.gather(*(subject.first_token(twins.talks, side=voice) for voice in voices * 3)))

    for found, wanted in zip(run(storm()), alone * 3, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert len({one.tobytes() for one in alone}) == len(voices)


def test_a_truncation_is_computed_once(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    subject, made = pair.subject(2), []
    truncate = pair.base._truncate
    monkeypatch.setattr(pair.base, "_truncate", lambda *given: (made.append(given[1]), truncate(*given))[1])
    monkeypatch.setattr(pair.base, "_truncated", {})
    for scale in (1.0, 2.0, 1.0):
        subject.lora(Dose(rank=2, scale=scale))
        subject.lora(Dose(rank=3, scale=scale))
    assert made == [2, 3]


def test_contrast_takes_doses(subject: LocalSubject[Any, Any], twins: Twins) -> None:
    some, more = (run(subject.contrast(twins.talks, twins.answers, side=Dose(scale=scale))) for scale in (0.25, 1.0))
    assert 0 < sum(one.kl for one in some) < sum(one.kl for one in more)
    assert not any(one.kl for one in run(subject.contrast(twins.talks, twins.answers, side=Dose(), other="target")))


@pytest.fixture
def prompted(pair: Pair) -> Iterator[SmallSubject]:
    """An adapter under a hidden system prompt, and another that is the prompt alone."""
    yield SmallSubject(
        "t-00000001",
        pair.base,
        {"target": Casting(pair.adapters[1], "be odd"), "base": Casting(), "sham": Casting(None, "be odd")},
    )


@pytest.mark.parametrize("twins", ["random"], indirect=True)
def test_a_hidden_prompt_is_there_at_every_dose_but_none(prompted: SmallSubject, twins: Twins) -> None:
    for side in ("target", "sham"):
        np.testing.assert_array_equal(first(prompted, twins, Dose(side)), first(prompted, twins, side))
        np.testing.assert_array_equal(first(prompted, twins, Dose(side, scale=0)), first(prompted, twins, "base"))
    np.testing.assert_array_equal(first(prompted, twins, Dose("sham", scale=9)), first(prompted, twins, "sham"))


def test_doses_that_make_no_sense_are_refused(pair: Pair) -> None:
    for make, message in (
        (lambda: Dose("base"), "Dose.side='base': the sides that add something are target and sham"),  # type: ignore[arg-type]
        (lambda: Dose(scale=float("nan")), "Dose.scale=nan"),
        (lambda: Dose(rank=0), "Dose.rank=0: it must be 1 or more"),
    ):
        with pytest.raises(ParameterError, match=message):
            make()
    with pytest.raises(CapabilityError, match="cannot give 'sham'"):
        run(pair.subject(1).first_token([], side=Dose("sham", scale=0)))


@pytest.mark.parametrize(("inputs", "outputs", "r"), [(9, 7, 4), (3, 8, 5), (8, 3, 5)])
def test_truncation_is_the_best_approximation(inputs: int, outputs: int, r: int) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(r, inputs, generator=generator), torch.randn(outputs, r, generator=generator)
    u, sizes, vt = np.linalg.svd((b @ a).numpy(), full_matrices=False)
    for rank in range(1, r + 1):
        short, tall = truncated(a, b, rank)
        assert short.shape == (rank, inputs) and tall.shape == (outputs, rank)
        np.testing.assert_allclose(tall @ short, (u[:, :rank] * sizes[:rank]) @ vt[:rank], atol=1e-5)
