"""Requests to a vLLM server, from any thread and event loop: one thread speaks HTTP for all of them.

A request that is cancelled is taken back from the server. One that the server cannot take yet (503) is sent again, and
so is one whose connection broke, as long as the server lives; a server that is gone is an error at once, so that a run
ends where `inspect eval-retry` can go on.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from typing import Any, Literal

import anyio
import httpx
from anyio.from_thread import start_blocking_portal

from audit_env.errors import EngineClosed, ServerError
from audit_env.runtime.vllm.options import Options

PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before a request is sent again; after the last it is given up."""

BUSY = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)

_CONNECT_SECONDS = 30
_HEALTH_SECONDS = 5
_LONGEST_COMPLAINT = 300
_GO_ON = "Start the run again where it broke off with  inspect eval-retry LOG."

Method = Literal["GET", "POST"]


def on_this_machine(url: str) -> bool:
    """Whether an address is of this machine, so that proxies, which the environment names for others, have no part."""
    host = httpx.URL(url).host
    with suppress(ValueError):  # a name
        return ip_address(host).is_loopback
    return host == "localhost"


class Refused(ServerError):
    """The server understood a request and will not answer it."""


class Client:
    """Speaks to one server."""

    def __init__(self, url: str, api_key: str | None, options: Options, ended: Callable[[], str | None]) -> None:
        """Start the thread.

        Args:
            url: Where the server is.
            api_key: Its key, if it has one.
            options: How long to wait for an answer, and how many requests to send at a time.
            ended: Tells why the server has ended, or None while nobody knows that it has.
        """
        self._options, self._ended = options, ended
        self._closed = False
        self._threads = ExitStack()
        self._portal = self._threads.enter_context(start_blocking_portal("asyncio"))
        self._limit = self._portal.call(anyio.CapacityLimiter, options.concurrency)
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else None,
            timeout=httpx.Timeout(options.timeout, connect=_CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=None),
            trust_env=not on_this_machine(url),
        )

    async def ask(self, method: Method, path: str, body: object = None) -> Any:
        """Send a request.

        Args:
            method: Of HTTP.
            path: Below the server's address.
            body: Sent as JSON.

        Returns:
            The JSON of the answer; None for an answer that is none.

        Raises:
            ServerError: If the server is gone, or does not answer in time.
            Refused: If the server will not answer.
            EngineClosed: If the client is closed.
        """
        return await asyncio.wrap_future(self.send(method, path, body))

    def send(self, method: Method, path: str, body: object = None) -> "Future[Any]":
        """Send a request (see `ask`). Cancelling the future takes it back."""
        if self._closed:
            raise EngineClosed
        return self._portal.start_task_soon(self._send, method, path, body)

    def close(self) -> None:
        """Give up what is not answered; whoever waits for it gets `EngineClosed`."""
        if self._closed:
            return
        self._closed = True
        self._portal.call(self._portal.stop, True)
        self._threads.close()

    async def _send(self, method: Method, path: str, body: object) -> Any:
        try:
            async with self._limit:
                reply = await self._persist(method, path, body)
        except anyio.get_cancelled_exc_class():
            if self._closed:
                raise EngineClosed from None
            raise
        if reply.is_success:
            return reply.json() if "json" in reply.headers.get("content-type", "") else None
        raise self._failure(reply)

    async def _persist(self, method: Method, path: str, body: object) -> httpx.Response:
        for pause in PAUSES:
            try:
                reply = await self._http.request(method, path, json=body)
            except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
                raise ServerError(
                    f"The vLLM server did not answer within {self._options.timeout} s: raise AUDIT_ENV_VLLM_TIMEOUT, "
                    "or lower AUDIT_ENV_VLLM_CONCURRENCY."
                ) from error
            except httpx.TransportError as error:
                await self._check(error)
            else:
                if reply.status_code not in BUSY:
                    return reply
                await self._check(None)
            await anyio.sleep(pause)
        raise ServerError(
            f"The vLLM server took no request in {len(PAUSES)} attempts: lower AUDIT_ENV_VLLM_CONCURRENCY. {_GO_ON}"
        )

    async def _check(self, cause: Exception | None) -> None:
        """Raise an error if the server no longer lives."""
        found = self._ended()
        if found is None:
            try:
                reply = await self._http.get("/health", timeout=_HEALTH_SECONDS)
            except httpx.TransportError as error:
                found = self._ended() or f"it cannot be reached ({type(error).__name__})"
            else:
                if reply.is_success:
                    return
                found = f"it says that it is not well (status {reply.status_code})"
        raise ServerError(f"The vLLM server is gone: {found}\n{_GO_ON}") from cause

    def _failure(self, reply: httpx.Response) -> ServerError:
        said = f"status {reply.status_code}: {reply.text[:_LONGEST_COMPLAINT]}"
        if reply.is_server_error:
            return ServerError(f"The vLLM server failed ({self._ended() or said})\n{_GO_ON}")
        return Refused(f"The vLLM server refused a request ({said})")
