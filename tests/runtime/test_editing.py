"""Edits on both engines, with truth planted: what an edit does is known beforehand."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from audit_env.errors import CapabilityError, ParameterError
from audit_env.runtime.api import ApiSubject
from audit_env.runtime.edits import Ablate, Add, At, Edit, Replace
from audit_env.runtime.hf.model import HfModel
from audit_env.runtime.local import LocalSubject
from audit_env.runtime.small.model import Llama
from audit_env.runtime.subject import Dose, Floats, Sample, Subject, Voice

from .conftest import Pair, Twins, header_residuals, prompts, run, user

CLOSE = 1e-4
EVERY = At("all", None)


def direction(subject: Subject, seed: int = 0, size: float = 1.0) -> Floats:
    vector = np.random.default_rng(seed).standard_normal(subject.d_model).astype(np.float32)
    return size * vector / np.linalg.norm(vector)


def strong(subject: Subject, seed: int = 0, at: At = EVERY) -> Edit:
    """An edit that no answer survives."""
    return Add(0, direction(subject, seed), at, scale=4.0, unit="norm")


def stream(subject: Subject, twins: Twins, at: At = EVERY, **named: Any) -> list[Floats]:
    """Residuals of each conversation with its answer, `[tokens, layers, d_model]`."""
    layers = range(-1, subject.n_layers)
    found = run(subject.residuals(twins.talks, twins.answers, layers=layers, at=at, **named))
    return [found.vectors[found.owner == number] for number in range(len(twins.talks))]


def ends(subject: LocalSubject[Any, Any]) -> frozenset[int]:
    """Tokens that end a turn."""
    model = subject._base.model
    return getattr(model, "shape", model).end_tokens


def promoted(subject: Subject) -> list[int]:
    """Tokens whose unembedding, as a residual, makes them the likeliest: among them the longest under the norm."""
    rows, gain = subject.unembedding().astype(np.float64), subject.final_norm().astype(np.float64)
    logits = rows @ (gain * rows).T
    return [int(token) for token in np.argsort(-np.diag(logits))[:3] if logits[:, token].argmax() == token]


def test_steering_towards_a_token_makes_it_the_first(subject: LocalSubject[Any, Any], twins: Twins) -> None:
    tokens = promoted(subject)
    assert tokens
    for token in tokens:
        edits = [Add(subject.n_layers - 1, subject.unembedding()[token], At(), scale=1e4)]
        scores = run(subject.score(twins.talks, ["I"] * len(twins.talks), top_k=1, edits=edits))
        assert [score.top_ids[0, 0] for score in scores] == [token] * len(twins.talks)
        [[sample]] = run(subject.generate(twins.talks[:1], temperature=0, max_tokens=2, edits=edits))
        assert sample.ids[:1] == (() if token in ends(subject) else (token,))


def test_a_patched_residual_speaks_for_its_own_prompt(subject: LocalSubject[Any, Any], twins: Twins) -> None:
    here, there = twins.talks[1], twins.talks[2]
    last = subject.n_layers - 1
    [residual] = header_residuals(subject, [there], layer=last)
    edits = [Replace(last, residual, At())]
    [patched, plain] = (
        run(subject.score([here], ["I"], top_k=subject.vocab_size, edits=one))[0] for one in (edits, [])
    )
    [wanted] = run(subject.first_token([there]))
    found = np.empty(subject.vocab_size)
    found[patched.top_ids[0]] = patched.top_logprobs[0]
    np.testing.assert_allclose(found, wanted, atol=CLOSE)
    assert np.abs(plain.top_logprobs[0] - patched.top_logprobs[0]).max() > 0.01


@pytest.mark.parametrize("layer", [-1, 0, 1])
def test_an_ablated_direction_is_gone(subject: LocalSubject[Any, Any], twins: Twins, layer: int) -> None:
    vector = direction(subject)
    before = stream(subject, twins)
    after = stream(subject, twins, edits=[Ablate(layer, 3 * vector)])
    for whole, left in zip(before, after, strict=True):
        lengths = np.linalg.norm(left[:, layer + 1], axis=1)
        assert (np.abs(left[:, layer + 1] @ vector) < 1e-5 * lengths).all()
        assert np.abs(whole[:, layer + 1] @ vector).max() > 1e-3 * lengths.max()
        rest = whole[:, layer + 1] - (whole[:, layer + 1] @ vector)[:, None] * vector
        np.testing.assert_allclose(left[:, layer + 1], rest, atol=CLOSE)


PLACES: tuple[tuple[At, Callable[[int, int, int], Sequence[int]]], ...] = (
    (At(), lambda header, answer, end: [answer - 1]),
    (At("header", None), lambda header, answer, end: range(header, answer)),
    (At("prompt", None), lambda header, answer, end: range(header)),
    (At("prompt", 1), lambda header, answer, end: [1]),
    (At("answer", None), lambda header, answer, end: range(answer, end)),
    (At("all", -1), lambda header, answer, end: [end - 1]),
    (EVERY, lambda header, answer, end: range(end)),
)


@pytest.mark.parametrize(("at", "places"), PLACES, ids=[f"{at.span}[{at.index}]" for at, _ in PLACES])
def test_an_edit_hits_its_span_and_nothing_else(
    subject: LocalSubject[Any, Any], twins: Twins, at: At, places: Callable[[int, int, int], Sequence[int]]
) -> None:
    """In one batch of conversations of several lengths, padded on either side."""
    layer, vector = 0, direction(subject)
    before = stream(subject, twins)
    chat = subject._base.chat
    for unit, scale in (("raw", 3.0), ("norm", -0.5)):
        after = stream(subject, twins, edits=[Add(layer, 2 * vector, at, scale, unit)])  # type: ignore[arg-type]
        for talk, whole, moved in zip(twins.talks, before, after, strict=True):
            answer = len(chat.prompt(talk).ids)
            hit = np.zeros(len(whole), bool)
            hit[list(places(answer - chat.header(talk), answer, len(whole)))] = True
            lengths = np.linalg.norm(whole[:, layer + 1], axis=1, keepdims=True)
            wanted = hit[:, None] * (6.0 if unit == "raw" else -0.5 * lengths) * vector
            np.testing.assert_allclose(moved[:, layer + 1] - whole[:, layer + 1], wanted, atol=CLOSE)
            np.testing.assert_array_equal(moved[:, layer], whole[:, layer])  # what comes before the edit
    first = [part[: np.flatnonzero(hit)[0]] if hit.any() else part for part in (moved, whole)]
    np.testing.assert_allclose(first[0], first[1], atol=CLOSE)  # nothing looks ahead


def test_a_span_reads_what_it_names(subject: LocalSubject[Any, Any], twins: Twins) -> None:
    whole = stream(subject, twins)
    chat = subject._base.chat
    for at, places in PLACES:
        for talk, every, some in zip(twins.talks, whole, stream(subject, twins, at), strict=True):
            answer = len(chat.prompt(talk).ids)
            wanted = every[list(places(answer - chat.header(talk), answer, len(every)))]
            np.testing.assert_allclose(some, wanted, atol=CLOSE)


def test_edits_of_one_layer_act_in_their_order(subject: LocalSubject[Any, Any], twins: Twins) -> None:
    one, other = direction(subject, 1), direction(subject, 2)
    add, put = Add(0, one, At()), Replace(0, other, At())
    for edits, wanted in (((put, add), one + other), ((add, put), other), ((add, add, put, add, add), 2 * one + other)):
        found = run(subject.residuals(twins.talks, layers=[0], edits=edits)).vectors[:, 0]
        np.testing.assert_allclose(found, np.tile(wanted, (len(found), 1)), atol=1e-6)


def test_edits_that_change_nothing_change_nothing(subject: LocalSubject[Any, Any], twins: Twins) -> None:
    nothing = [Add(layer, direction(subject), scale=0.0) for layer in range(-1, subject.n_layers)]
    plain, edited = (run(subject.generate(twins.talks, n=2, max_tokens=12, edits=one)) for one in ([], nothing))
    assert plain == edited


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_edited_answers_agree_between_the_engines(twins: Twins, temperature: float) -> None:
    for at in (EVERY, At("prompt", None), At("answer", None), At("answer", 2), At()):
        settings: dict[str, Any] = {"temperature": temperature, "max_tokens": 16, "prefill": "I", "seed": 3}
        edits = [strong(twins.small, at=at), Ablate(0, direction(twins.small, 4))]
        found, wanted = (run(one.generate(twins.talks, edits=edits, **settings)) for one in (twins.hf, twins.small))
        assert found == wanted
        assert found != run(twins.small.generate(twins.talks, **settings))


def test_edited_readings_agree_between_the_engines(twins: Twins) -> None:
    edits = [
        strong(twins.small, at=At("prompt", 2)),
        Ablate(0, direction(twins.small, 4)),
        Replace(1, direction(twins.small, 5, 3.0), At()),
    ]
    found, wanted = (run(one.score(twins.talks, twins.answers, edits=edits)) for one in (twins.hf, twins.small))
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours.logprobs, theirs.logprobs, atol=CLOSE)
    for ours, theirs in zip(*(stream(one, twins, edits=edits) for one in (twins.hf, twins.small)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=CLOSE, rtol=CLOSE)


@pytest.mark.parametrize("at", [EVERY, At("answer", None), At("answer", 3), At("prompt", None)])
def test_an_edit_hits_answers_while_they_are_generated(pair: Pair, hf: LocalSubject[Any, Any], at: At) -> None:
    """Against transformers, which here reads everything again for each token and knows no cache."""
    vector = 4 * direction(hf)
    talk = user("what is a good soup ?")
    prompt = pair.base.chat.prompt(talk).ids
    answer, header = len(prompt), pair.base.chat.header(talk)
    hit = {"all": range(999), "answer": range(answer, 999), "prompt": range(answer - header)}[at.span]
    hit = hit if at.index is None else hit[at.index : at.index + 1]
    ids = list(prompt)

    def steer(_: Any, __: Any, out: Any) -> Any:
        x = out[0] if isinstance(out, tuple) else out
        x = x.clone()
        x[0, [place for place in range(x.shape[1]) if place in hit]] += torch.from_numpy(vector)
        return (x, *out[1:]) if isinstance(out, tuple) else x

    hook = pair.peft.base_model.model.model.layers[0].register_forward_hook(steer)
    with torch.no_grad():
        for _ in range(12):
            ids.append(int(pair.peft(input_ids=torch.tensor([ids]), adapter_names=["a1"]).logits[0, -1].argmax()))
    hook.remove()
    wanted = ids[answer:]
    wanted = wanted[: wanted.index(2)] if 2 in wanted else wanted
    for one in (pair.subject(2), hf):
        [[sample]] = run(one.generate([talk], temperature=0, max_tokens=12, edits=[Add(0, vector, at)]))
        assert list(sample.ids) == wanted


def test_an_edited_answer_leaves_no_trace(subject: LocalSubject[Any, Any], twins: Twins) -> None:
    """The trap of vLLM's prefix cache: the same prompt unedited, edited, unedited; in turn and in one batch."""
    edits = [strong(subject)]
    for side in ("target", "base"):
        first, edited, third = (
            run(subject.generate(twins.talks, side=side, n=2, max_tokens=10, edits=one)) for one in ([], edits, [])
        )

        async def together(side: Voice = side) -> list[list[list[Sample]]]:
            asked = ([], edits, [], edits)
            return await asyncio.gather(
                *(subject.generate(twins.talks, side=side, n=2, max_tokens=10, edits=one) for one in asked)
            )

        assert first == third != edited
        assert run(together()) == [first, edited, third, edited]


def test_an_edited_reading_leaves_no_trace(subject: LocalSubject[Any, Any]) -> None:
    """Prompts that begin alike, whose beginning is computed once for all where there is no edit."""
    talks = [user(f"what is a good soup for a cold day ? {word}") for word in prompts(40, seed=5)]
    answers = ["yes"] * len(talks)

    async def readings(side: Voice, edits: Sequence[Edit]) -> list[bytes]:
        scores = await subject.score(talks, answers, side=side, edits=edits)
        residuals = await subject.residuals(talks, side=side, layers=[0, subject.n_layers - 1], edits=edits)
        first = await subject.first_token(talks, side=side)
        return [*(score.logprobs.tobytes() for score in scores), residuals.vectors.tobytes(), first.tobytes()]

    async def together(side: Voice) -> list[list[bytes]]:
        return await asyncio.gather(*(readings(side, one) for one in ([], edits, [])))

    edits = [strong(subject, at=At("prompt", 0))]
    for side in ("target", "base"):
        plain, edited, again = (run(readings(side, one)) for one in ([], edits, []))
        assert plain == again
        assert plain[0] != edited[0] and plain[-2] != edited[-2] and plain[-1] == edited[-1]
        assert run(together(side)) == [plain, edited, plain]


@pytest.mark.parametrize("noise", [0.0, 4e-4])
def test_edited_answers_do_not_depend_on_the_batch(
    subject: LocalSubject[Any, Any], monkeypatch: pytest.MonkeyPatch, noise: float
) -> None:
    """Mixed with others' edits, sides and none, also under errors that send many tokens to be computed alone."""
    layers = subject.n_layers
    plans: list[list[Edit]] = [
        [],
        [strong(subject, at=At("prompt", None))],
        [Ablate(layers - 1, direction(subject, 1)), Add(0, direction(subject, 2), At("answer", None), 0.5, "norm")],
        [Add(layers - 1, direction(subject, 3), At("answer", 1), 4.0, "norm")],
    ]
    texts = prompts(32, seed=3)
    sides: tuple[Voice, ...] = ("target", "sham", Dose(scale=0.5))
    asked = [(texts[i], sides[i % 3], plans[i % 4], i) for i in range(32)]

    async def ask(text: str, side: Voice, edits: list[Edit], seed: int) -> Sample:
        [[sample]] = await subject.generate([user(text)], side=side, seed=seed, max_tokens=10, edits=edits)
        return sample

    async def together() -> list[Sample]:
        return list(await asyncio.gather(*(ask(*one) for one in asked)))

    alone = [run(ask(*one)) for one in asked]
    if noise:
        for model in (Llama, HfModel):
            exact = model.logits

            def noisy(self: Any, x: torch.Tensor, exact: Any = exact) -> torch.Tensor:
                found = exact(self, x)
                return found + torch.empty_like(found).uniform_(-noise, noise) if len(found) > 1 else found

            monkeypatch.setattr(model, "logits", noisy)
    assert run(together()) == alone


def test_what_does_not_fit_is_refused(subject: LocalSubject[Any, Any]) -> None:
    vector = direction(subject)
    talk = [user("hi")]
    for ask, message in (
        (lambda: subject.generate(talk, edits=[Add(9, vector)]), "Add.layer=9"),
        (
            lambda: subject.generate(talk, edits=[Add(0, vector, At("answer", -1))]),
            "while the answer is being generated",
        ),
        (lambda: subject.generate(talk, max_tokens=5, edits=[Add(0, vector, At("answer", 5))]), "has 5 tokens"),
        (lambda: subject.score(talk, ["yes"], edits=[Replace(0, vector[:3])]), "Replace.vector has 3 numbers"),
        (lambda: subject.score(talk, [""], edits=[Replace(0, vector, At("answer", 0))]), "has 0 tokens"),
        (lambda: subject.residuals(talk, layers=[0], edits=[Ablate(0, vector, At("header", 50))]), "At.index=50"),
        (lambda: subject.residuals(talk, layers=[0], at=At("answer")), "the span 'answer' of this conversation has 0"),
    ):
        with pytest.raises(ParameterError, match=message):
            run(ask())  # type: ignore[arg-type]


def test_a_model_behind_an_api_takes_no_edits_and_no_doses() -> None:
    api = ApiSubject("t-00000001", "any", {"target": None, "base": None})
    with pytest.raises(CapabilityError, match="'api' cannot give 'edits'.*engines that can: small, hf"):
        run(api.generate([user("hi")], edits=[Add(0, np.ones(3, np.float32))]))
    with pytest.raises(CapabilityError, match="'api' cannot give 'doses'.*engines that can: small, hf"):
        run(api.generate([user("hi")], side=Dose()))
