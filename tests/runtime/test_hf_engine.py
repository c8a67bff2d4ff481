"""The hf engine's thread and batches: sides that stay apart, memory that runs out, callers that leave."""

import asyncio
import random
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import count
from typing import Any

import pytest
import torch

from audit_env.errors import EngineClosed
from audit_env.runtime.batching import CACHE_POSITIONS, MAX_ROWS
from audit_env.runtime.finite import NotFinite
from audit_env.runtime.hf.adapters import Worn
from audit_env.runtime.hf.batch import COMPANIONS, Batch, Running
from audit_env.runtime.hf.engine import Engine
from audit_env.runtime.hf.model import HfModel
from audit_env.runtime.hf.padding import LeftPadded
from audit_env.runtime.hf.subject import HfSubject
from audit_env.runtime.memo import Memo, Once
from audit_env.runtime.memory import OutOfMemory
from audit_env.runtime.request import Generated, Request
from audit_env.runtime.sampling import Sampling
from audit_env.runtime.subject import ContextOverflow, Dose, Sample, Side

from .conftest import close_while_held, prompts, run, user

SIDES: tuple[Side, ...] = ("target", "base", "sham")
PROMPT = (1, 4, 20, 21, 22, 2, 5)
SETTINGS: tuple[dict[str, Any], ...] = (
    {"temperature": 1.0, "max_tokens": 16},
    {"temperature": 0.7, "top_p": 0.8, "max_tokens": 12},
    {"temperature": 0.0, "max_tokens": 10},
)


def request(number: int = 0, limit: int = 20, adapter: Worn | None = None) -> Request:
    return Request(PROMPT, adapter, Sampling(number), limit)


class Forgetful(Once[Generated]):
    """Computes everything each time anew, for those who ask at the same time too."""

    async def get_all(self, keys: Sequence[Any], compute: Any) -> list[Generated]:
        return list(await compute(keys))


@pytest.fixture
def forgetful(hf: HfSubject, monkeypatch: pytest.MonkeyPatch) -> HfSubject:
    """Computes answers of controls each time anew."""
    monkeypatch.setattr(hf._base, "answers", Forgetful(Memo(0)))
    return hf


@pytest.fixture
def engine(hf: HfSubject) -> Engine:
    """An engine of its own, which a test may close."""
    return Engine(hf._base.model)


def test_sides_stay_apart_when_hammered_from_many_tasks(forgetful: HfSubject) -> None:
    """PEFT's switch is global: without one owner of the model, forwards would meet the adapter of another task."""
    hf = forgetful
    talks = [user(text) for text in prompts(8, seed=5)]
    answers = ["the fox"] * len(talks)

    async def everything(side: Side) -> tuple[Any, ...]:
        return (
            await hf.generate(talks, side=side, temperature=0, max_tokens=12),
            [score.logprobs.tobytes() for score in await hf.score(talks, answers, side=side)],
            (await hf.residuals(talks, side=side, layers=[1])).vectors.tobytes(),
            [contrast.kl for contrast in await hf.contrast(talks, answers, side=side, other="base")],
        )

    apart = {side: run(everything(side)) for side in SIDES}

    async def storm() -> list[tuple[Side, tuple[Any, ...]]]:
        sides = random.Random(0).sample(SIDES * 8, 24)
        return list(zip(sides, await asyncio.gather(*map(everything, sides)), strict=True))

    for side, found in run(storm()):
        assert found == apart[side]
    assert len({str(found) for found in apart.values()}) == 3


def test_sides_stay_apart_across_threads(hf: HfSubject) -> None:
    ids = hf._base.chat.prompt(user("what is a good soup ?")).ids

    def reading(side: Side) -> bytes:
        def compute(model: HfModel) -> bytes:
            hidden = model.hidden(model.padded([ids]), hf._sides[side].adapter)
            return model.logits(hidden[:, -1]).numpy().tobytes()

        return hf._base.engine.run(compute).result(60)

    alone = {side: reading(side) for side in SIDES}
    assert len(set(alone.values())) == 3
    with ThreadPoolExecutor(9) as pool:
        sides = SIDES * 60
        assert list(pool.map(reading, sides)) == [alone[side] for side in sides]


def test_answers_do_not_depend_on_the_batch(forgetful: HfSubject) -> None:
    texts = prompts(45, seed=3)
    requests = [(texts[i], SIDES[i % 3], SETTINGS[i // 3 % 3], i) for i in range(45)]

    async def ask(text: str, side: Side, settings: dict[str, Any], seed: int) -> Sample:
        [[sample]] = await forgetful.generate([user(text)], side=side, seed=seed, **settings)
        return sample

    async def together() -> list[Sample]:
        return list(await asyncio.gather(*(ask(*one) for one in requests)))

    mixed = run(together())
    assert [run(ask(*one)) for one in requests] == mixed
    assert len({sample.ids for sample in mixed}) > 40


def test_unsure_choices_are_taken_alone(hf: HfSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of the batch far larger than real ones change nothing in fp32."""
    talks = [user(text) for text in prompts(30, seed=4)]
    quiet = run(hf.generate(talks, max_tokens=30))
    logits = HfModel.logits

    def noisy(model: HfModel, hidden: torch.Tensor) -> torch.Tensor:
        exact = logits(model, hidden)
        return exact + torch.empty_like(exact).uniform_(-4e-4, 4e-4) if len(exact) > 1 else exact

    monkeypatch.setattr(HfModel, "logits", noisy)
    assert run(hf.generate(talks, max_tokens=30)) == quiet


def test_a_prompt_that_several_answers_share_is_read_once(hf: HfSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []
    hidden = HfModel.hidden

    def watched(model: HfModel, batch: LeftPadded, *given: Any, **named: Any) -> torch.Tensor:
        seen.append(tuple(batch.ids.shape))
        return hidden(model, batch, *given, **named)

    monkeypatch.setattr(HfModel, "hidden", watched)
    [samples] = run(hf.generate([user("hi")], n=6, max_tokens=5))
    assert len({sample.ids for sample in samples}) == 6
    assert seen[0][0] == 1 and seen[1] == (6, 1)


@pytest.mark.parametrize("most", [1, 3])
def test_a_batch_that_does_not_fit_is_divided(hf: HfSubject, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    talks = [user(text) for text in prompts(8, seed=6)]
    answers = ["the fox jumps"] * 8
    wanted = run(hf.generate(talks, max_tokens=20)), run(hf.score(talks, answers)), run(hf.first_token(talks))
    refused: list[int] = []
    hidden = HfModel.hidden

    def cramped(model: HfModel, batch: LeftPadded, *given: Any, **named: Any) -> torch.Tensor:
        # In the middle of generation too: rows that have begun go on where they were.
        if len(batch.ids) > most and (batch.mask.shape[1] > 24 or batch.ids.shape[1] > 1):
            refused.append(len(batch.ids))
            raise torch.OutOfMemoryError("planted")
        return hidden(model, batch, *given, **named)

    monkeypatch.setattr(HfModel, "hidden", cramped)
    monkeypatch.setattr(hf._base.engine._batch._waiting, "room", CACHE_POSITIONS)

    def room() -> int:
        return hf._base.engine.run(lambda _: hf._base.engine._batch._waiting.room).result(60)

    found = run(hf.generate(talks, max_tokens=20)), run(hf.score(talks, answers)), run(hf.first_token(talks))
    assert max(refused) == 8
    assert found[0] == wanted[0]
    for ours, theirs in zip(found[1], wanted[1], strict=True):
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-4)
    assert found[2] == pytest.approx(wanted[2], abs=1e-4)
    throttled = room()
    assert throttled < CACHE_POSITIONS
    monkeypatch.setattr(HfModel, "hidden", hidden)
    run(hf.generate(talks[:1], max_tokens=1))
    assert room() > throttled  # what was short may have been another's memory


def test_one_row_that_does_not_fit_is_told_in_words(hf: HfSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> torch.Tensor:
        raise torch.OutOfMemoryError("planted")

    monkeypatch.setattr(HfModel, "hidden", full)
    for ask in (hf.generate([user("hi"), user("ho")]), hf.score([user("hi")], ["ho"])):
        with pytest.raises(OutOfMemory, match="does not fit into memory beside the model: shorten it.*AUDIT_ENV_HF"):
            run(ask)
    monkeypatch.undo()
    assert run(hf.generate([user("hi")], max_tokens=4))


def talking(model: HfModel, *asked: Request) -> Batch:
    """A batch that runs some requests, on this thread."""
    batch = Batch(model)
    batch.ask(asked)
    batch.advance()
    return batch


def finished(batch: Batch) -> None:
    while not batch.idle:
        batch.advance()


@torch.inference_mode()
def test_requests_join_rows_of_their_side_that_are_running(hf: HfSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    """They end before those do, and all say what they say alone."""
    model = hf._base.model
    monkeypatch.setattr(model, "end_tokens", frozenset())
    adapter = hf._sides["target"].adapter
    asked = [(PROMPT, 60), (PROMPT[:3], 50), (PROMPT * 4, 40), (PROMPT * 2, 6), (PROMPT * 9, 30), (PROMPT[:2], 5)]

    def request(number: int) -> Request:
        prompt, limit = asked[number]
        return Request(prompt, adapter, Sampling(number), limit)

    alone = [request(number) for number in range(len(asked))]
    for one in alone:
        finished(talking(model, one))
    requests = [request(number) for number in range(len(asked))]
    batch = talking(model, *requests[:3])
    for number, late in enumerate(requests[3:]):
        for _ in range(3 + 10 * number):
            batch.advance()
        batch.ask([late])
        batch.advance()
        assert batch._running is not None and late in [row.request for row in batch._running.rows]
    finished(batch)
    assert [one.future.result(0) for one in requests] == [one.future.result(0) for one in alone]


@torch.inference_mode()
def test_nobody_joins_before_another_side_that_has_waited_longer(
    hf: HfSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hf._base.model, "end_tokens", frozenset())
    target = hf._sides["target"].adapter
    batch = talking(hf._base.model, request(limit=8, adapter=target))
    base, late = request(limit=2), request(limit=2, adapter=target)
    batch.ask([base, late])
    while not base.future.done():
        batch.advance()
        assert not late.future.done()
    finished(batch)
    assert late.future.result(0).ids


@torch.inference_mode()
def test_a_full_batch_is_joined_by_several_at_a_time(hf: HfSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    """One row that ends does not make the cache be copied for one that waits."""
    monkeypatch.setattr(hf._base.model, "end_tokens", frozenset())
    joins: list[int] = []
    join = Running.join

    def watched(running: Running, fresh: Running) -> None:
        joins.append(len(fresh.rows))
        join(running, fresh)

    monkeypatch.setattr(Running, "join", watched)
    requests = [request(number, limit=5 + number % 30) for number in range(MAX_ROWS + 40)]
    batch = talking(hf._base.model, *requests)
    finished(batch)
    assert joins[0] >= COMPANIONS and sum(joins) >= 30
    assert all(len(one.future.result(0).ids) == one.limit for one in requests)


def test_numbers_that_are_none_end_their_row_alone(hf: HfSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    talks = [user(text) for text in prompts(6, seed=6)]
    alone = [run(hf.generate([talk], max_tokens=12)) for talk in talks]
    hidden = HfModel.hidden

    def spoilt(model: HfModel, batch: LeftPadded, *given: Any, **named: Any) -> torch.Tensor:
        found = hidden(model, batch, *given, **named)
        found[(batch.ids == 277).any(1)] = torch.nan
        return found

    monkeypatch.setattr(HfModel, "hidden", spoilt)
    monkeypatch.setattr(hf._base.engine._batch._model, "end_tokens", frozenset({2, 277}))
    bad = Request((*PROMPT, 277), hf._sides["target"].adapter, Sampling(0), 20)
    hf._base.engine.generate([bad])

    async def ask() -> list[Any]:
        return list(await asyncio.gather(*(hf.generate([talk], max_tokens=12) for talk in talks)))

    found = run(ask())
    with pytest.raises(NotFinite, match="computes NaN or infinity"):
        bad.future.result(60)
    assert [[sample.ids[:3] for [sample] in one] for one in found] == [
        [sample.ids[:3] for [sample] in one] for one in alone
    ]
    monkeypatch.undo()
    with pytest.raises(NotFinite, match="'t-00000000' computes NaN.*lower the dose"):
        run(hf.generate([user("hi")], side=Dose("target", 1e30)))
    with pytest.raises(NotFinite, match="'t-00000000' computes NaN"):
        run(hf.score([user("hi")], ["ho"], side=Dose("target", 1e30)))


def test_an_error_of_one_row_reaches_its_caller_alone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = HfModel.hidden

    def fails(model: HfModel, batch: LeftPadded, *given: Any, **named: Any) -> torch.Tensor:
        if (batch.ids == 277).any():
            raise ValueError("planted")
        return hidden(model, batch, *given, **named)

    requests = [request(number, limit=4) for number in range(12)]
    engine.generate(requests)
    alone = [one.future.result(60) for one in requests]
    monkeypatch.setattr(HfModel, "hidden", fails)
    requests = [request(number, limit=4) for number in range(12)]
    bad = Request((*PROMPT, 277), None, Sampling(0), 4)
    engine.generate([*requests[:5], bad, *requests[5:]])
    assert [one.future.result(60) for one in requests] == alone
    assert isinstance(bad.future.exception(60), ValueError)
    engine.close()


def test_an_error_of_every_step_reaches_everyone_and_no_one_later(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> torch.Tensor:
        raise ValueError("planted")

    monkeypatch.setattr(HfModel, "hidden", fails)
    requests = [request(number) for number in range(80)]
    engine.generate(requests)
    done, waiting = wait([one.future for one in requests], timeout=60)
    assert not waiting and all(isinstance(future.exception(), ValueError) for future in done)
    monkeypatch.undo()
    later = request()
    engine.generate([later])
    assert later.future.result(60).ids
    engine.close()


def test_an_error_of_a_job_reaches_its_caller_alone(engine: Engine) -> None:
    def fails(_: HfModel) -> None:
        raise ValueError("planted")

    running = request()
    engine.generate([running])
    failed, fine = engine.run(fails), engine.run(lambda _: threading.current_thread().name)
    with pytest.raises(ValueError, match="planted"):
        failed.result(60)
    assert fine.result(60).startswith("audit_env-hf")
    assert running.future.result(60).ids
    engine.close()


def test_cancelled_requests_leave_and_the_others_stay(hf: HfSubject) -> None:
    async def ask() -> list[list[Sample]]:
        dropped = asyncio.ensure_future(hf.generate([user("ho")] * 20, max_tokens=200))
        kept = asyncio.ensure_future(hf.generate([user("hi")], max_tokens=20))
        await asyncio.wrap_future(hf._base.engine.run(lambda _: None))
        dropped.cancel()
        return await kept

    assert run(ask()) == run(hf.generate([user("hi")], max_tokens=20))
    batch = hf._base.engine._batch
    assert run(hf.score([user("hi")], ["yes"]))
    assert hf._base.engine.run(lambda _: batch.idle or not batch._waiting.rows).result(60)


def test_a_reading_waits_for_a_step_and_not_for_the_end_of_generation(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = request(limit=200)
    hidden, passes = HfModel.hidden, count()
    readings: list[Future[bool]] = []

    def asking(model: HfModel, *given: Any, **named: Any) -> torch.Tensor:
        # Asked for and looked at on the engine's own thread: this one may come to its turn when all has ended.
        if next(passes) == 10:
            readings.append(engine.run(lambda _: long.future.done()))
        return hidden(model, *given, **named)

    monkeypatch.setattr(HfModel, "hidden", asking)
    engine._model.end_tokens, ends = frozenset(), engine._model.end_tokens
    try:
        engine.generate([long])
        assert len(long.future.result(60).ids) == 200
        [reading] = readings
        assert not reading.result(60)
    finally:
        engine._model.end_tokens = ends
        engine.close()


def test_closing_answers_everyone_who_waits(engine: Engine) -> None:
    begun, hold = threading.Event(), threading.Event()
    blocked = engine.run(lambda _: (begun.set(), hold.wait(60))[1])
    assert begun.wait(60)  # a job that has not begun when the engine closes is not computed
    requests = [request(number, limit=200) for number in range(100)]
    engine.generate(requests)
    job = engine.run(lambda _: 1)
    close_while_held(engine, hold)
    assert blocked.result(0) is True
    assert all(isinstance(one.future.exception(0), EngineClosed) for one in requests)
    assert isinstance(job.exception(0), EngineClosed)
    engine.close()  # twice is fine
    with pytest.raises(EngineClosed, match="ask for the subject again"):
        engine.generate([request()])
    with pytest.raises(EngineClosed, match="ask for the subject again"):
        engine.run(lambda _: 1)


def test_closing_ends_a_generation_that_is_running(engine: Engine) -> None:
    running = request(limit=200)
    engine.generate([running])
    engine.run(lambda _: None).result(60)
    engine.close()
    assert running.future.done()


def test_more_requests_than_rows_are_all_answered(engine: Engine) -> None:
    adapters = [None, Worn("a0"), Worn("a1")]
    requests = [request(number, 1 + number % 5, adapters[number % 3]) for number in range(200)]
    engine.generate(requests)
    done, waiting = wait([one.future for one in requests], timeout=600)
    assert not waiting
    assert all(len(one.future.result().ids) <= one.limit for one in requests)
    engine.close()


def test_an_answer_ends_with_the_context(hf: HfSubject) -> None:
    [[sample]] = run(hf.generate([user("zz " * 70)], side="base", temperature=0, max_tokens=200))
    assert sample.stop == "length"
    assert sample.prompt_tokens + len(sample.ids) == hf.context_length
    with pytest.raises(ContextOverflow, match="reads at most 256"):
        run(hf.generate([user("the fox " * 300)]))
