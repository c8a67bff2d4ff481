"""Servers that are busy, slow, broken or gone."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from audit_env.errors import EngineClosed, ServerError
from audit_env.runtime.vllm.client import on_this_machine

from ..conftest import run, user
from .conftest import Played

TURNS = [user("what is a good soup ?")]


def test_a_full_queue_is_waited_for(played: Played) -> None:
    expected = run(played.subject.generate(TURNS))
    played.fake.faults += [503, 429]
    assert run(played.subject.generate(TURNS)) == expected
    assert len(played.fake.asked) == 4


def test_a_proxy_for_others_has_no_part_in_what_is_asked_on_this_machine(
    play: Callable[..., Played], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")  # where nobody listens
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(variable, raising=False)
    assert run(play().subject.generate(TURNS))


@pytest.mark.parametrize(
    ("url", "ours"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://127.9.9.9", True),
        ("http://localhost:1", True),
        ("http://[::1]:8000/v1", True),
        ("http://10.0.0.2:8000", False),
        ("https://vllm.example", False),
        ("http://localhost.example:8000", False),
    ],
)
def test_which_addresses_are_of_this_machine(url: str, ours: bool) -> None:
    assert on_this_machine(url) is ours


def test_a_queue_that_stays_full_is_given_up(played: Played) -> None:
    played.fake.faults += [503] * 100
    with pytest.raises(ServerError, match="took no request in 3 attempts.*AUDIT_ENV_VLLM_CONCURRENCY.*eval-retry"):
        run(played.subject.generate(TURNS))


def test_a_broken_connection_to_a_server_that_lives_is_made_anew(played: Played) -> None:
    expected = run(played.subject.generate(TURNS))
    played.fake.faults += ["cut", "cut"]
    assert run(played.subject.generate(TURNS)) == expected


def test_a_server_that_is_gone_is_an_error_at_once(played: Played) -> None:
    run(played.subject.generate(TURNS))
    played.fake.__exit__()
    with pytest.raises(ServerError, match="is gone: it cannot be reached.*\n.*inspect eval-retry"):
        run(played.subject.generate(TURNS * 50, n=3))


def test_a_server_that_fails_is_not_asked_again(played: Played) -> None:
    played.fake.faults += [500]
    with pytest.raises(ServerError, match=r"failed \(status 500.*\n.*inspect eval-retry"):
        run(played.subject.generate(TURNS))
    assert len(played.fake.asked) == 1


def test_an_answer_that_does_not_come_is_given_up(play: Callable[..., Played], monkeypatch: pytest.MonkeyPatch) -> None:
    played = play(timeout=99)
    client = played.subject._base.engine.client
    assert (client._http.timeout.read, client._http.timeout.write) == (99, 99)
    played.fake.faults += ["hang"]
    with monkeypatch.context() as hurried:  # for this request alone: a busy machine may take a second for any other
        hurried.setattr(client, "_options", replace(client._options, timeout=1))
        hurried.setattr(client._http, "timeout", httpx.Timeout(1, connect=60, pool=None))
        with pytest.raises(ServerError, match="did not answer within 1 s: raise AUDIT_ENV_VLLM_TIMEOUT"):
            run(played.subject.generate(TURNS))
    played.fake.faults.clear()  # where the server was too slow to read the request at all
    assert run(played.subject.generate(TURNS))


def test_a_cancelled_request_is_taken_back(played: Played) -> None:
    played.fake.faults += ["hang"]

    async def cancelled() -> None:
        asked = asyncio.ensure_future(played.subject.generate(TURNS))
        await asyncio.to_thread(played.fake.hanging.acquire, timeout=60)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked

    run(cancelled())
    assert played.fake.taken_back.wait(60)
    assert run(played.subject.generate(TURNS))


def test_whoever_waits_when_the_engine_is_closed_is_told(played: Played) -> None:
    played.fake.faults += ["hang"]

    async def closed() -> None:
        asked = asyncio.ensure_future(played.subject.generate(TURNS))
        await asyncio.to_thread(played.fake.hanging.acquire, timeout=60)
        await asyncio.to_thread(played.subject._base.engine.close)
        with pytest.raises(EngineClosed):
            await asked

    run(closed())
    with pytest.raises(EngineClosed):
        run(played.subject.generate(TURNS))


def test_no_more_requests_than_allowed_are_under_way(play: Callable[..., Played]) -> None:
    played = play(concurrency=2)
    played.fake.faults += ["hang"] * 2

    async def held() -> None:
        asked = asyncio.ensure_future(played.subject.generate(TURNS, n=5))
        for _ in range(2):
            await asyncio.to_thread(played.fake.hanging.acquire, timeout=60)
        for _ in range(10):  # time in which a third would come
            await asyncio.to_thread(httpx.get, f"{played.fake.url}/health")
        assert len(played.fake.asked) == 2
        asked.cancel()

    run(held())
