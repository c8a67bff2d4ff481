"""The engine's thread: jobs, errors and its end."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import wait
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch

from audit_env.errors import EngineClosed, ParameterError
from audit_env.runtime.batching import MAX_ROWS
from audit_env.runtime.engine import readers, threads
from audit_env.runtime.finite import NotFinite
from audit_env.runtime.memory import OutOfMemory, is_out_of_memory
from audit_env.runtime.request import Request
from audit_env.runtime.sampling import Sampling
from audit_env.runtime.small.cache import Lane
from audit_env.runtime.small.engine import Engine
from audit_env.runtime.small.model import Llama
from audit_env.runtime.subject import Dose

from .conftest import Pair, close_while_held, prompts, run, user

PROMPT = (1, 4, 20, 21, 22, 2, 5)


def request(number: int = 0, limit: int = 20) -> Request:
    return Request(PROMPT, None, Sampling(number), limit)


@pytest.fixture
def engine(pair: Pair) -> Engine:
    """An engine of its own, which a test may close."""
    return Engine(pair.base.model)


def test_jobs_run_on_one_thread_of_the_engine(engine: Engine) -> None:
    names = {engine.run(lambda _: threading.current_thread().name).result() for _ in range(5)}
    assert names == {"audit_env-small"}
    engine.close()


@pytest.fixture
def helped(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine with a reader."""
    monkeypatch.setattr("audit_env.runtime.small.engine.readers", lambda: 1)
    return Engine(pair.base.model)


def test_a_reader_takes_jobs_while_the_engine_is_busy(helped: Engine) -> None:
    both = threading.Barrier(2, timeout=60)

    def meets(_: Llama) -> tuple[str, int, bool]:
        both.wait()  # for a job that must run at the same time
        return threading.current_thread().name, torch.get_num_threads(), torch.is_inference_mode_enabled()

    jobs = [helped.run(meets) for _ in range(4)]
    assert {job.result(60) for job in jobs} == {("audit_env-small", 1, True), ("audit_env-small-reader-0", 1, True)}
    helped.close()


def test_a_reading_does_not_depend_on_the_thread(pair: Pair, helped: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    talks = [user(text) for text in prompts(300, seed=4)]
    subject = pair.subject(1)
    alone = run(subject.first_token(talks)), run(subject.score(talks, ["the fox"] * 300))
    monkeypatch.setattr(pair.base, "engine", helped)
    for _ in range(2):
        tokens, scores = run(subject.first_token(talks)), run(subject.score(talks, ["the fox"] * 300))
        assert tokens.tobytes() == alone[0].tobytes()
        assert all((a.logprobs == b.logprobs).all() for a, b in zip(scores, alone[1], strict=True))
    helped.close()


def test_whoever_waits_is_told_when_a_readers_engine_closes(helped: Engine) -> None:
    hold = threading.Event()
    blocked = [helped.run(lambda _: hold.wait(60)) for _ in range(2)]
    waiting = [helped.run(lambda _: 1) for _ in range(3)]
    close_while_held(helped, hold)
    assert all(one.result(0) for one in blocked)
    assert all(isinstance(one.exception(0), EngineClosed) or one.result(0) == 1 for one in waiting)


def test_an_error_of_a_job_reaches_its_caller_alone(engine: Engine) -> None:
    def fails(_: Llama) -> None:
        raise ValueError("planted")

    running = request()
    engine.generate([running])
    failed, fine = engine.run(fails), engine.run(lambda _: 7)
    with pytest.raises(ValueError, match="planted"):
        failed.result(60)
    assert fine.result(60) == 7
    assert running.future.result(60).ids
    engine.close()


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, when: Callable[[torch.Tensor, int, int], bool]) -> None:
    """Have passes fail: `when` is given the tokens `[n]` of the pass, how many rows it has, and its number."""
    blocks, passes = Llama.blocks, count()

    def fails(self: Llama, ids: torch.Tensor, positions: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        rows = int((positions == 0).sum()) or len(ids)
        if when(ids, rows, next(passes)):
            raise error
        return blocks(self, ids, positions, *args, **kwargs)

    monkeypatch.setattr(Llama, "blocks", fails)


def answers(engine: Engine, requests: list[Request]) -> list[tuple[int, ...]]:
    engine.generate(requests)
    return [one.future.result(60).ids for one in requests]


def test_an_error_of_every_step_reaches_everyone_and_no_one_later(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, ValueError("planted"), lambda *_: True)
    requests = [request(number) for number in range(80)]
    engine.generate(requests)
    done, waiting = wait([one.future for one in requests], timeout=60)
    assert not waiting
    assert all(isinstance(future.exception(), ValueError) for future in done)
    monkeypatch.undo()
    assert answers(engine, [request()])
    engine.close()


def test_an_error_of_one_row_reaches_its_caller_alone(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = 277
    requests = [request(number) for number in range(20)]
    alone = answers(engine, [request(number) for number in range(20)])
    spoilt = Request((*PROMPT, bad), None, Sampling(0), 20)
    failing(monkeypatch, ValueError("planted"), lambda ids, *_: bad in ids)
    engine.generate([*requests[:7], spoilt, *requests[7:]])
    assert isinstance(spoilt.future.exception(60), ValueError)
    assert [one.future.result(60).ids for one in requests] == alone
    engine.close()


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("planted"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
        MemoryError("planted"),
    ],
)
def test_a_batch_that_does_not_fit_into_memory_is_divided(
    error: Exception, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passes of more than 5 rows fail after a while, and nobody notices."""
    limits = [3 + number % 20 for number in range(60)]
    alone = answers(engine, [request(number, limit) for number, limit in enumerate(limits)])
    most = 0

    def too_many(_: torch.Tensor, rows: int, number: int) -> bool:
        nonlocal most
        crowded = number > 3 and rows > 5
        most = max(most, 0 if crowded else rows)
        return crowded

    failing(monkeypatch, error, too_many)
    divided = answers(engine, [request(number, limit) for number, limit in enumerate(limits)])
    assert divided == alone
    assert most > 50  # the first steps had fitted: rows are taken up where they were
    monkeypatch.undo()
    engine.close()


def test_a_row_that_does_not_fit_alone_is_told_and_the_others_go_on(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = answers(engine, [request(number) for number in range(10)])
    failing(monkeypatch, torch.OutOfMemoryError("planted"), lambda ids, *_: len(ids) >= 150)
    long = Request(PROMPT * 25, None, Sampling(0), 20)
    requests = [request(number) for number in range(10)]
    engine.generate([*requests[:5], long, *requests[5:]])
    with pytest.raises(OutOfMemory, match="of 195 tokens does not fit into memory"):
        long.future.result(60)
    assert [one.future.result(60).ids for one in requests] == alone
    engine.close()


def test_a_reading_that_does_not_fit_is_divided(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    talks = [user(text) for text in prompts(12, seed=2)]
    whole = run(pair.subject(1).first_token(talks))
    sizes: list[int] = []

    def too_many(_: torch.Tensor, rows: int, number: int) -> bool:
        sizes.append(rows)
        return rows > 4

    failing(monkeypatch, torch.OutOfMemoryError("planted"), too_many)
    assert np.allclose(run(pair.subject(1).first_token(talks)), whole, atol=1e-4)
    assert max(sizes) > 4
    monkeypatch.undo()
    failing(monkeypatch, torch.OutOfMemoryError("planted"), lambda *_: True)
    with pytest.raises(OutOfMemory, match="does not fit into memory beside the model: shorten it"):
        run(pair.subject(1).first_token(talks))


def test_errors_of_memory_are_known_from_others() -> None:
    with pytest.raises(RuntimeError) as of_torch:
        torch.empty(2**52, dtype=torch.uint8)
    with pytest.raises(MemoryError) as of_numpy:
        np.empty(2**52, dtype=np.uint8)
    assert is_out_of_memory(of_torch.value) and is_out_of_memory(of_numpy.value)
    assert is_out_of_memory(torch.OutOfMemoryError())
    assert not is_out_of_memory(RuntimeError("The size of tensor a must match")) and not is_out_of_memory(KeyError())


def test_thousands_wait_in_order_and_the_cache_stays_small(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    slots = 0
    adopt = Lane.adopt

    def watched(lane: Lane, rows: list[Any], filled: torch.Tensor, places: list[int]) -> None:
        nonlocal slots
        adopt(lane, rows, filled, places)
        started.extend(row.request.sampling.key for row in rows if row.length == len(PROMPT))
        slots = max(slots, sum(one._cache.shape[2] for one in engine.batch._lanes.values()))

    monkeypatch.setattr(Lane, "adopt", watched)
    hold = threading.Event()
    held = engine.run(lambda _: hold.wait(60))
    requests = [request(number, limit=1 + number % 3) for number in range(3000)]
    for first in range(0, 3000, 100):
        engine.generate(requests[first : first + 100])
    for one in requests[1000:2000]:
        one.future.cancel()
    hold.set()
    assert held.result(60)
    kept = requests[:1000] + requests[2000:]
    done, waiting = wait([one.future for one in kept], timeout=600)
    assert not waiting and all(future.result().ids or future.result().stop == "stop" for future in done)
    assert started == [*range(1000), *range(2000, 3000)]
    assert slots <= 2 * MAX_ROWS
    assert engine.run(lambda _: engine.batch.idle and not engine.batch._lanes).result(60)
    engine.close()


def test_a_request_joins_rows_that_are_running(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends long before they do, and says what it says alone."""
    [alone] = answers(engine, [request(7, limit=3)])
    ends, engine._model.shape = engine._model.shape, replace(engine._model.shape, end_tokens=frozenset())
    # Asked for and looked at on the engine's own thread: this one may come to its turn when all have ended.
    late = request(7, limit=3)
    blocks, passes = Llama.blocks, count()

    def joined(self: Llama, *args: Any, **kwargs: Any) -> torch.Tensor:
        if next(passes) == 10:
            engine.generate([late])
        return blocks(self, *args, **kwargs)

    monkeypatch.setattr(Llama, "blocks", joined)
    seen: list[list[int]] = []
    late.future.add_done_callback(lambda _: seen.append([len(row.ids) for row in engine.batch._rows]))
    try:
        long = [request(number, limit=240) for number in range(3)]
        engine.generate(long)
        assert late.future.result(60).ids[: len(alone)] == alone
        assert all(len(one.future.result(60).ids) == 240 for one in long)
        [running] = seen
        assert len(running) == 3 and all(0 < ids < 240 for ids in running)
    finally:
        engine.close()
        engine._model.shape = ends


def test_numbers_that_are_none_end_their_row_alone(pair: Pair) -> None:
    """A row of an adapter that overflows shares the batch, and its slot is had by others after it."""
    talks = [user(text) for text in prompts(30, seed=6)]
    subject = pair.subject(1)
    alone = [run(subject.generate([talk], max_tokens=30)) for talk in talks]
    loud = Dose("target", 1e30)

    async def ask() -> list[Any]:
        asked = (subject.generate([talk], max_tokens=30) for talk in talks)
        spoilt = (subject.generate([talk], side=loud) for talk in talks[:5])
        return list(await asyncio.gather(*spoilt, *asked, return_exceptions=True))

    found = run(ask())
    assert all(isinstance(one, NotFinite) and "'t-00000000' computes NaN" in str(one) for one in found[:5])
    assert found[5:] == alone
    for reading in (
        subject.score(talks, ["the fox"] * 30, side=loud),
        subject.contrast(talks, ["the fox"] * 30, side=loud),
        subject.first_token(talks, side=loud),
        subject.residuals(talks, side=loud, layers=[1]),
        subject.residuals(talks, side=loud, layers=[1], reduce="mean"),
    ):
        with pytest.raises(NotFinite, match="'t-00000000' computes NaN or infinity.*lower the dose"):
            run(reading)
    assert [run(subject.generate([talk], max_tokens=30)) for talk in talks] == alone


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_all_ends_where_a_reader_ends_unforeseen(helped: Engine) -> None:
    both = threading.Barrier(2, timeout=60)

    def ends(_: Llama) -> None:
        both.wait()
        if "reader" in threading.current_thread().name:
            raise SystemExit

    for _ in range(2):
        helped.run(ends)
    with pytest.raises(EngineClosed):
        while True:
            helped.generate([request()])
            time.sleep(0.001)
    helped.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_whoever_waits_is_told_when_the_thread_ends_unforeseen(engine: Engine) -> None:
    def ends(_: Llama) -> None:
        raise SystemExit

    hold = threading.Event()
    engine.run(lambda _: hold.wait(60))
    engine.run(ends)
    requests = [request(number) for number in range(5)]
    engine.generate(requests)
    job = engine.run(lambda _: 1)
    hold.set()
    assert all(isinstance(one.future.exception(60), EngineClosed) for one in requests)
    assert isinstance(job.exception(60), EngineClosed)
    with pytest.raises(EngineClosed):
        engine.generate([request()])
    engine.close()


def test_closing_answers_everyone_who_waits(engine: Engine) -> None:
    hold = threading.Event()
    blocked = engine.run(lambda _: hold.wait(60))
    requests = [request(number, limit=200) for number in range(100)]
    engine.generate(requests)
    job = engine.run(lambda _: 1)
    close_while_held(engine, hold)
    assert blocked.result(0) is True
    assert all(isinstance(one.future.exception(0), EngineClosed) for one in requests)
    assert job.done()
    engine.close()  # twice is fine
    with pytest.raises(EngineClosed, match="ask for the subject again"):
        engine.generate([request()])
    with pytest.raises(EngineClosed, match="ask for the subject again"):
        engine.run(lambda _: 1)


def test_a_request_waits_for_companions_but_not_for_long(engine: Engine) -> None:
    engine.run(lambda _: None).result(60)
    one = request(limit=1)
    engine.generate([one])
    assert one.future.result(60)
    assert engine.batch.idle
    engine.close()


def test_more_requests_than_rows_are_all_answered(engine: Engine) -> None:
    requests = [request(number, limit=1 + number % 7) for number in range(300)]
    engine.generate(requests)
    done, waiting = wait([one.future for one in requests], timeout=60)
    assert not waiting
    assert all(len(one.future.result().ids) <= one.limit for one in requests)
    assert {one.future.result().stop for one in requests} <= {"stop", "length"}
    engine.close()


@pytest.mark.parametrize("value", ["0", "-1", "two", ""])
def test_a_malformed_number_of_threads_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIT_ENV_THREADS", value)
    with pytest.raises(ParameterError, match="AUDIT_ENV_THREADS"):
        threads()


def test_the_number_of_threads_is_taken_from_the_environment_or_the_cores(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIT_ENV_THREADS", "1")
    engine = Engine(pair.base.model)
    assert engine.run(lambda _: torch.get_num_threads()).result(60) == 1
    engine.close()
    monkeypatch.delenv("AUDIT_ENV_THREADS")
    for cores, wanted in ((1, 1), (2, 1), (4, 2), (64, 4)):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert (threads(), readers()) == (wanted, cores > 1)
    for asked in (1, 2):
        monkeypatch.setenv("AUDIT_ENV_THREADS", str(asked))
        assert (threads(), readers()) == (asked, asked > 1)
