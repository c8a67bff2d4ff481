"""Generation on the engine: the same answers whoever shares the batch."""

import asyncio
import random
from collections.abc import Sequence

import pytest
import torch

from audit_env.errors import ParameterError
from audit_env.runtime.small.model import Llama
from audit_env.runtime.subject import ContextOverflow, Sample

from .conftest import Pair, Turns, prompts, run, user

SETTINGS = (
    {"temperature": 1.0, "max_tokens": 24},
    {"temperature": 0.7, "top_p": 0.8, "max_tokens": 20},
    {"temperature": 0.0, "max_tokens": 16},
    {"temperature": 1.5, "top_p": 0.95, "max_tokens": 28},
)


def test_answers_do_not_depend_on_the_batch(pair: Pair) -> None:
    """240 requests of four sides and four samplings, in mixed batches of up to 64 and alone."""
    batch = pair.base.engine.batch
    chosen, recomputed = batch.chosen, batch.recomputed
    texts = prompts(240, seed=3)
    requests = [(texts[i], i % 4, SETTINGS[i // 4 % 4], i) for i in range(240)]

    async def ask(text: str, side: int, settings: dict[str, float], seed: int) -> Sample:
        [[sample]] = await pair.subject(side).generate([user(text)], seed=seed, **settings)  # type: ignore[arg-type]
        return sample

    async def together() -> list[Sample]:
        shuffled = random.Random(0).sample(requests, len(requests))
        answers = await asyncio.gather(*(ask(*request) for request in shuffled))
        return [answer for _, answer in sorted(zip(shuffled, answers, strict=True), key=lambda pair: pair[0][3])]

    mixed = run(together())
    assert batch.recomputed - recomputed < 0.02 * (batch.chosen - chosen)
    alone = [run(ask(*request)) for request in requests]
    assert mixed == alone
    assert len({sample.ids for sample in mixed}) > 230


def test_unsure_choices_are_taken_alone_and_agree_too(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of the batch far larger than real ones, in every batched forward, change nothing."""
    conversations = [user(text) for text in prompts(100, seed=4)]
    quiet = run(pair.subject(1).generate(conversations, max_tokens=40))
    batch = pair.base.engine.batch
    recomputed = batch.recomputed
    logits = Llama.logits
    drawn = torch.Generator().manual_seed(0)  # the same errors whichever tests came before

    def noisy(model: Llama, residual: torch.Tensor) -> torch.Tensor:
        exact = logits(model, residual)
        error = torch.empty_like(exact).uniform_(-4e-4, 4e-4, generator=drawn)
        return exact + error if len(exact) > 1 else exact

    monkeypatch.setattr(Llama, "logits", noisy)
    assert run(pair.subject(1).generate(conversations, max_tokens=40)) == quiet
    assert batch.recomputed > recomputed


def test_sides_stay_apart_under_concurrency(pair: Pair) -> None:
    conversations = [user(text) for text in prompts(12, seed=5)]
    subject = pair.subject(1, sham=2)
    apart = {
        side: run(subject.generate(conversations, side=side, temperature=0)) for side in ("target", "base", "sham")
    }

    async def storm() -> list[tuple[str, list[list[Sample]]]]:
        sides = ["target", "base", "sham"] * 6
        readings = [subject.contrast(conversations, ["the fox"] * 12, side="sham") for _ in range(3)]
        answers = asyncio.gather(*(subject.generate(conversations, side=side, temperature=0) for side in sides))
        _, found = await asyncio.gather(asyncio.gather(*readings), answers)
        return list(zip(sides, found, strict=True))

    for side, found in run(storm()):
        assert found == apart[side]
    assert apart["target"] != apart["base"] != apart["sham"]


def test_a_turn_ends_at_any_end_token_and_not_after(pair: Pair) -> None:
    answers = [
        sample
        for [sample] in run(pair.subject(0).generate([user(text) for text in prompts(60, seed=6)], max_tokens=80))
    ]
    stopped = [sample for sample in answers if sample.stop == "stop"]
    cut = [sample for sample in answers if sample.stop == "length"]
    assert stopped and cut
    assert all(2 not in sample.ids and len(sample.ids) < 80 for sample in stopped)
    assert all(len(sample.ids) == 80 == sample.generated_tokens for sample in cut)
    assert all(sample.generated_tokens == len(sample.ids) + 1 for sample in stopped)


def test_rows_that_outgrow_their_lane_go_on_as_before(pair: Pair) -> None:
    """Positions 5 to 249: every lane of the cache is passed."""
    short = [user("hi"), user(" ".join(prompts(1, seed=8)))]
    long = run(pair.subject(1).generate(short, n=6, temperature=0.8, max_tokens=200, seed=9))
    begun = run(pair.subject(1).generate(short, n=6, temperature=0.8, max_tokens=30, seed=9))
    assert max(len(sample.ids) for samples in long for sample in samples) > 128
    for whole, part in zip(long, begun, strict=True):
        assert [sample.ids[:30] for sample in whole] == [sample.ids for sample in part]


def test_answers_depend_on_seed_number_and_prompt(pair: Pair) -> None:
    subject = pair.subject(1)

    def first(turns: Sequence[Turns], **settings: int) -> list[tuple[int, ...]]:
        return [sample.ids for samples in run(subject.generate(turns, max_tokens=8, **settings)) for sample in samples]

    hi, ho = user("hi"), user("ho")
    assert first([hi], n=3) == first([hi], n=3)
    assert len(set(first([hi], n=3))) == 3
    assert first([hi], seed=1) != first([hi], seed=2)
    assert first([hi, hi, ho], n=2) == [*first([hi], n=4), *first([ho], n=2)]
    assert first([ho, hi]) == [*first([ho]), *first([hi])]


def test_equal_seeds_pair_the_sides(pair: Pair) -> None:
    """A side that is the base under another name answers word for word as the base."""
    subject = pair.subject(target=0)
    conversations = [user(text) for text in prompts(8, seed=7)]
    assert run(subject.generate(conversations, side="target")) == run(subject.generate(conversations, side="base"))


def test_a_conversation_that_fills_the_context_is_refused_in_words(pair: Pair) -> None:
    with pytest.raises(ContextOverflow, match="reads at most 256.*start a new conversation"):
        run(pair.subject(1).generate([user("the fox " * 300)]))


def test_an_answer_ends_with_the_context(pair: Pair) -> None:
    [[sample]] = run(pair.subject(1).generate([user("zz " * 70)], temperature=0, max_tokens=200))
    assert sample.stop == "length"
    assert sample.prompt_tokens + len(sample.ids) == 256


@pytest.mark.parametrize("setting", [{"n": 0}, {"temperature": -1}, {"top_p": 0}, {"top_p": 1.1}, {"max_tokens": 0}])
def test_settings_out_of_range_are_refused(pair: Pair, setting: dict[str, float]) -> None:
    with pytest.raises(ParameterError, match=next(iter(setting))):
        run(pair.subject(1).generate([user("hi")], **setting))  # type: ignore[arg-type]


def test_cancelled_requests_leave_and_the_others_stay(pair: Pair) -> None:
    subject = pair.subject(1)

    async def ask() -> list[list[Sample]]:
        dropped = asyncio.ensure_future(subject.generate([user("ho")] * 20, max_tokens=200))
        kept = asyncio.ensure_future(subject.generate([user("hi")], max_tokens=20))
        await asyncio.sleep(0.02)
        dropped.cancel()
        return await kept

    assert run(ask()) == run(subject.generate([user("hi")], max_tokens=20))
    run(subject.score([user("hi")], ["yes"]))  # a job runs between steps: the dropped rows are gone after it
    assert pair.base.engine.batch.idle
