"""The engine's thread: jobs, errors and its end."""

import threading
import time
from concurrent.futures import wait

import pytest
import torch

from audit_env.errors import ParameterError
from audit_env.runtime.engine import EngineClosed, threads
from audit_env.runtime.request import Request
from audit_env.runtime.sampling import Sampling
from audit_env.runtime.small.engine import Engine
from audit_env.runtime.small.model import Llama

from .conftest import Pair

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


def test_an_error_of_a_job_reaches_its_caller_alone(engine: Engine) -> None:
    def fails(_: Llama) -> None:
        raise ValueError("planted")

    running = request()
    engine.generate([running])
    failed, fine = engine.run(fails), engine.run(lambda _: 7)
    with pytest.raises(ValueError, match="planted"):
        failed.result(10)
    assert fine.result(10) == 7
    assert running.future.result(10).ids
    engine.close()


def test_an_error_of_a_step_reaches_everyone_in_it_and_no_one_later(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = Llama.blocks

    def fails(*args: object, **kwargs: object) -> torch.Tensor:
        raise MemoryError("planted")

    monkeypatch.setattr(Llama, "blocks", fails)
    requests = [request(number) for number in range(80)]
    engine.generate(requests)
    done, waiting = wait([one.future for one in requests], timeout=10)
    assert not waiting
    assert all(isinstance(future.exception(), MemoryError) for future in done)
    monkeypatch.setattr(Llama, "blocks", blocks)
    later = request()
    engine.generate([later])
    assert later.future.result(10).ids
    engine.close()


def test_an_error_in_the_middle_reaches_those_who_joined_and_those_who_were_there(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    blocks = Llama.blocks

    def fails_later(self: Llama, *args: object, **kwargs: object) -> torch.Tensor:
        nonlocal calls
        calls += 1
        if calls > 4:
            raise MemoryError("planted")
        return blocks(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Llama, "blocks", fails_later)
    requests = [request(number, limit=200) for number in range(10)]
    engine.generate(requests)
    assert all(isinstance(one.future.exception(10), MemoryError) for one in requests)
    assert engine.run(lambda _: engine.batch.idle).result(10)
    engine.close()


def test_closing_answers_everyone_who_waits(engine: Engine) -> None:
    hold = threading.Event()
    blocked = engine.run(lambda _: hold.wait(10))
    requests = [request(number, limit=200) for number in range(100)]
    engine.generate(requests)
    job = engine.run(lambda _: 1)
    closing = threading.Thread(target=engine.close)
    closing.start()
    time.sleep(0.05)
    hold.set()
    closing.join(10)
    assert not closing.is_alive()
    assert blocked.result(0) is True
    assert all(isinstance(one.future.exception(0), EngineClosed) for one in requests)
    assert job.done()
    engine.close()  # twice is fine
    with pytest.raises(EngineClosed, match="ask for the subject again"):
        engine.generate([request()])
    with pytest.raises(EngineClosed, match="ask for the subject again"):
        engine.run(lambda _: 1)


def test_a_request_waits_for_companions_but_not_for_long(engine: Engine) -> None:
    engine.run(lambda _: None).result(10)
    one = request(limit=1)
    engine.generate([one])
    assert one.future.result(5)
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
    assert engine.run(lambda _: torch.get_num_threads()).result(10) == 1
    engine.close()
    monkeypatch.delenv("AUDIT_ENV_THREADS")
    for cores, wanted in ((1, 1), (2, 1), (4, 2), (64, 4)):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        assert threads() == wanted
