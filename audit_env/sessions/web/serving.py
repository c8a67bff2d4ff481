"""The server of a team: it hosts their game, and shows each player the app in a browser."""

import asyncio
import hmac
import ipaddress
import signal
import socket
from collections.abc import Mapping, Sequence
from typing import Any

import click
from aiohttp import web

from audit_env.sessions.errors import SessionError
from audit_env.sessions.hosting import Host
from audit_env.sessions.journal import Journal
from audit_env.sessions.web.seats import FAREWELL, Seat

_SCORING = 5.0
"""Seconds that a report which is in has for being scored when the server is ended."""
_PAUSE = 1.0
"""Seconds between two looks at the game."""
_SAVED = "Saved. The same command takes you back here, under new addresses."
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Server": "audit_env",
    "X-Content-Type-Options": "nosniff",
}


def play_in_browsers(seats: Sequence[str], order: Mapping[str, Any], *, host: str, port: int) -> None:
    """Serve a game to browsers until it is over, or Ctrl-C.

    Args:
        seats: Who plays.
        order: What is played, as `Host` takes it.
        host: The address that is listened at.
        port: Its port.

    Raises:
        SessionError: If a seat has no name or two have the same, or the port cannot be had.
    """
    if not all(seats) or len(set(seats)) < len(seats):
        raise SessionError("Each seat needs a name of its own: give them as  --seats alice,bob.")
    asyncio.run(_serve(seats, Host(Journal.from_environment(), order), host, port))


def app_of(seats: Sequence[Seat]) -> web.Application:
    """What is served: each seat below its token, and for all else one and the same refusal.

    Args:
        seats: The seats.

    Returns:
        The application.
    """

    async def answer(request: web.Request) -> web.StreamResponse:
        token, _, what = request.match_info["path"].partition("/")
        # All are compared to the end, so that the time taken tells nothing of any.
        fitting = [one for one in seats if hmac.compare_digest(one.token.encode(), token.encode("utf-8", "replace"))]
        served = await fitting[0].serve(what, request) if fitting else None
        return served or _forbidden()

    @web.middleware
    async def alike(request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            response: web.StreamResponse = await handler(request)
        except web.HTTPException:
            return _forbidden()
        return response

    async def mark(request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(_HEADERS)

    async def close(app: web.Application) -> None:
        await asyncio.gather(*(seat.close() for seat in seats))

    app = web.Application(middlewares=[alike])
    app.router.add_get("/{path:.*}", answer, allow_head=False)
    app.on_response_prepare.append(mark)
    # The server waits for whatever it still serves, and a window is served as long as it is open.
    app.on_shutdown.append(close)
    return app


async def _serve(names: Sequence[str], hosted: Host, host: str, port: int) -> None:
    seats: list[Seat] = []

    def changed() -> None:
        hosted.journal.sit_down(hosted.room, [seat.who for seat in seats if seat.is_taken])

    seats += [Seat(name, hosted.room, changed) for name in names]
    runner = web.AppRunner(app_of(seats), access_log=None, shutdown_timeout=FAREWELL)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise SessionError(
            f"Cannot listen at {host}:{port} ({error.strerror}): choose another --port or --host."
        ) from None
    ended = _signalled()
    with hosted:
        _announce(seats, host, port)
        await _until_over(hosted, seats, ended)
        await runner.cleanup()
        hosted.await_score(_SCORING)
        left = hosted.now
    click.echo("\n\n".join(filter(None, (left.told, "" if left.state in ("over", "stopped") else _SAVED))))
    if hosted.troubles.exists():
        click.echo(f"What went wrong: {hosted.troubles}")


def _signalled() -> asyncio.Event:
    """Set when somebody ends the server."""
    ended = asyncio.Event()
    for signalled in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signalled, ended.set)
    return ended


async def _until_over(hosted: Host, seats: Sequence[Seat], ended: asyncio.Event) -> None:
    """Wait until all is played and everybody has left, or somebody ends the server."""
    while not ended.is_set():
        hosted.look()
        if hosted.now.state in ("over", "stopped") and not any(seat.is_taken for seat in seats):
            return
        try:
            await asyncio.wait_for(ended.wait(), _PAUSE)
        except TimeoutError:
            continue


def _announce(seats: Sequence[Seat], host: str, port: int) -> None:
    click.echo("One address for each seat; who has it, sits there. Ctrl-C ends the server, and nothing is lost.")
    for seat in seats:
        click.echo(f"  {seat.who}: http://{_name(host)}:{port}/{seat.token}/")
    if not _is_loopback(host):
        click.echo(
            "What is sent is not encrypted: outside a network that you trust, put TLS or a tunnel in front of it."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _name(host: str) -> str:
    """How a browser elsewhere finds this address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if address.is_unspecified:
        return socket.gethostname()
    return f"[{host}]" if address.version == 6 else host


def _forbidden() -> web.Response:
    return web.Response(status=403, text="Forbidden.\n")
