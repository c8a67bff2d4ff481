"""Amplification: answers drawn from what a side adds to its base, said louder."""

import asyncio
import math
from typing import Any

import numpy as np
import pytest
import torch

from audit_env.errors import CapabilityError, ParameterError
from audit_env.runtime.amplifying import SHARE
from audit_env.runtime.api import ApiSubject
from audit_env.runtime.edits import Ablate, At
from audit_env.runtime.local import Casting, LocalSubject
from audit_env.runtime.sampling import TOLERANCE, Sampling, answer_key, choose
from audit_env.runtime.small.model import Padded
from audit_env.runtime.small.subject import SmallSubject
from audit_env.runtime.subject import Dose, Sample, Voice

from .conftest import Pair, Twins, prompts, run, user

VOCAB = 40
AMOUNT = 3.0


def logits(rows: int, seed: int) -> torch.Tensor:
    return 2 * torch.randn(rows, VOCAB, generator=torch.Generator().manual_seed(seed))


def amplified(own: np.ndarray, base: np.ndarray, amount: float) -> np.ndarray:
    """Log-probabilities to logits that tokens are drawn from, by the definition."""
    return np.where(own < own.max() + math.log(SHARE), -np.inf, own + amount * (own - base))


def test_tokens_are_drawn_with_the_amplified_probabilities() -> None:
    own, base = logits(1, 0), logits(1, 1)
    own[0, :10] -= 12  # excluded by the side itself, though the base finds some of them less likely still
    base[0, :5] -= 30
    wanted = torch.from_numpy(amplified(own[0].numpy(), base[0].numpy(), 1.5)).softmax(-1)
    count = 40_000
    samplings = [Sampling(answer_key(0, (1, 2), number), amplify=1.5) for number in range(count)]
    tokens = choose(own.expand(count, -1), samplings, [0] * count, base=base.expand(count, -1)).tokens
    found = torch.bincount(torch.tensor(tokens), minlength=VOCAB) / count
    assert not found[:10].any()
    assert ((found - wanted).abs() < 4 * (wanted * (1 - wanted) / count).sqrt() + 1e-6).all()


def test_rows_that_do_not_amplify_are_chosen_as_ever() -> None:
    own, base = logits(60, 2), logits(30, 3)
    plain = [Sampling(number, (0.0, 1.0)[number % 2], (1.0, 0.8)[number % 4 // 2]) for number in range(60)]
    mixed = [Sampling(one.key, one.temperature, amplify=2.0) if n % 2 else one for n, one in enumerate(plain)]
    alone, together = choose(own, plain, [0] * 60), choose(own, mixed, [0] * 60, base=base)
    assert together.tokens[::2] == alone.tokens[::2] and together.sure[::2] == alone.sure[::2]
    assert together.tokens[1::2] != alone.tokens[1::2]


def test_sure_choices_stand_whatever_the_error() -> None:
    count = 3000
    own, base = logits(count, 4), logits(count, 5)
    # Near ties of what is amplified, and tokens at the edge of what is drawn.
    base[::3, 1] = base[::3, 0] = own[::3, 0] - 4
    own[::3, 1] = own[::3, 0] + 1e-4
    own[1::3, 2] = own[1::3, 3:].amax(dim=1) + math.log(SHARE) + 1e-4
    base[1::3, 2] = own[1::3, 2] - 20
    samplings = [Sampling(number * 7919, (0.0, 1.0)[number % 2], amplify=AMOUNT) for number in range(count)]
    exact = choose(own, samplings, [0] * count, tolerance=0.0, base=base)
    size, drawn = TOLERANCE / 2.01, torch.Generator().manual_seed(6)  # the same errors whichever tests came before
    noisy = [one + torch.empty_like(one).uniform_(-size, size, generator=drawn) for one in (own, base)]
    found = choose(noisy[0], samplings, [0] * count, base=noisy[1])
    differ = [number for number in range(count) if found.tokens[number] != exact.tokens[number]]
    assert differ
    assert not any(found.sure[number] for number in differ)
    assert sum(found.sure) > 0.3 * count


def by_hand(subject: SmallSubject, ids: tuple[int, ...], limit: int) -> tuple[int, ...]:
    """A greedy amplified answer of the target, without a cache."""
    model, said = subject._base.model, []
    with torch.inference_mode():
        for _ in range(limit):
            batch = Padded.of([(*ids, *said)])
            own, base = (
                model.logits(batch.last(model.sequences(batch, subject._sides[side].adapter)))[0].numpy()
                for side in ("target", "base")
            )
            token = int(amplified(own, base, AMOUNT).argmax())
            if token in model.shape.end_tokens:
                break
            said.append(token)
    return tuple(said)


def test_a_greedy_answer_is_the_one_made_by_hand(twins: Twins) -> None:
    small = twins.small
    answers = run(small.generate(twins.talks, temperature=0, max_tokens=16, amplify=AMOUNT))
    for talk, [answer] in zip(twins.talks, answers, strict=True):
        assert answer.ids == by_hand(small, small._base.chat.prompt(talk).ids, 16)
    assert answers != run(small.generate(twins.talks, temperature=0, max_tokens=16))


def test_amplified_answers_agree_between_the_engines(twins: Twins) -> None:
    asked: list[tuple[Voice, dict[str, Any]]] = [
        ("target", {"n": 2, "temperature": 0.9, "prefill": "yes", "seed": 4}),
        (Dose("sham", scale=2), {"temperature": 0}),
    ]
    for voice, settings in asked:
        found, wanted = (
            run(one.generate(twins.talks, side=voice, max_tokens=10, amplify=AMOUNT, **settings))
            for one in (twins.hf, twins.small)
        )
        assert found == wanted


def test_by_nothing_and_of_the_base_nothing_is_amplified(subject: LocalSubject[Any, Any], twins: Twins) -> None:
    for side, amount in (("target", 0.0), ("base", AMOUNT)):
        settings: dict[str, Any] = {"side": side, "temperature": 0, "max_tokens": 12}
        assert run(subject.generate(twins.talks, amplify=amount, **settings)) == run(
            subject.generate(twins.talks, **settings)
        )


@pytest.mark.parametrize("twins", ["random"], indirect=True)
def test_amplified_and_other_rows_share_batches_and_do_not_mix(subject: LocalSubject[Any, Any], twins: Twins) -> None:
    talks = [user(text) for text in prompts(24, seed=11)]
    amounts, sides = (0.0, 1.0, 8.0), ("target", "sham", "base")

    async def ask(number: int) -> Sample:
        side, amount = sides[number // 3 % 3], amounts[number % 3]
        [[one]] = await subject.generate(
            [talks[number]], side=side, amplify=amount, max_tokens=3 + number % 16, seed=number
        )
        return one

    async def together() -> list[Sample]:
        return list(await asyncio.gather(*(ask(number) for number in range(len(talks)))))

    assert run(together()) == [run(ask(number)) for number in range(len(talks))]


def test_cancelled_rows_take_those_of_the_base_with_them(pair: Pair) -> None:
    subject = pair.subject(1)

    async def ask() -> list[list[Sample]]:
        dropped = asyncio.ensure_future(subject.generate([user("ho")] * 20, max_tokens=200, amplify=1.0))
        kept = asyncio.ensure_future(subject.generate([user("hi")], max_tokens=20, amplify=1.0))
        await asyncio.sleep(0.02)
        dropped.cancel()
        return await kept

    assert run(ask()) == run(subject.generate([user("hi")], max_tokens=20, amplify=1.0))
    run(subject.score([user("hi")], ["yes"]))  # a job runs between steps: the dropped rows are gone after it
    assert pair.base.engine.batch.idle
    assert not any(lane.rows for lane in pair.base.engine.batch._lanes.values())


def test_a_hidden_prompt_is_amplified_against_the_base_without_it(pair: Pair) -> None:
    prompted = SmallSubject("t-00000001", pair.base, {"target": Casting(None, "be odd"), "base": Casting()})
    talk = user("hello")
    target, base = (run(prompted.first_token([talk], side=side))[0] for side in ("target", "base"))
    [[answer]] = run(prompted.generate([talk], temperature=0, max_tokens=1, amplify=AMOUNT))
    assert answer.ids == (int(amplified(target, base, AMOUNT).argmax()),)


def test_amplifications_that_make_no_sense_are_refused(pair: Pair) -> None:
    subject, edit = pair.subject(1), Ablate(layer=0, vector=np.ones(64, np.float32), at=At())
    for settings, message in (
        ({"amplify": -1.0}, "amplify=-1.0: it must lie between 0 and 20"),
        ({"amplify": float("nan")}, "amplify=nan"),
        ({"amplify": 21.0}, "between 0 and 20"),
        ({"amplify": 1.0, "top_p": 0.9}, "leave top_p out"),
        ({"amplify": 1.0, "edits": [edit]}, "with edits"),
    ):
        with pytest.raises(ParameterError, match=message):
            run(subject.generate([user("hi")], **settings))  # type: ignore[arg-type]
    with pytest.raises(CapabilityError, match="cannot give 'amplify'.*small, hf"):
        run(ApiSubject("t-00000001", "any", {"target": "x", "base": None}).generate([user("hi")], amplify=1.0))
