"""What the server of a team tells, and to whom, and how it ends: asked over real sockets, without a browser."""

import asyncio
import http.client
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from aiohttp import ClientSession, WSCloseCode, web

from audit_env.sessions.errors import SessionError
from audit_env.sessions.journal import FOLDER_VARIABLE
from audit_env.sessions.web.seats import Seat
from audit_env.sessions.web.serving import app_of, play_in_browsers
from tests.sessions.ports import free_port

T = TypeVar("T")
ALICE, BOB = (Seat(who, "room", lambda: None) for who in ("alice", "bob"))
Answer = tuple[int, dict[str, str], bytes]


def served(ask: Callable[[int], T]) -> T:
    """Serve the seats of alice and bob while questions are asked at a port."""

    async def serve() -> T:
        runner = web.AppRunner(app_of([ALICE, BOB]), access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            return await asyncio.to_thread(ask, runner.addresses[0][1])
        finally:
            await runner.cleanup()

    return asyncio.run(serve())


def asked(port: int, path: str, method: str = "GET", **headers: str) -> Answer:
    """What is answered to a path, which is sent as it stands."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    told = {name: value for name, value in answer.getheaders() if name != "Date"}
    return answer.status, told, answer.read()


def test_a_seat_is_a_page_that_loads_nothing_from_elsewhere() -> None:
    def ask(port: int) -> list[Answer]:
        page = asked(port, f"/{ALICE.token}/")
        loaded = re.findall(r'(?:src|href)="(static/[^"]+)"|url\("([^"]+)"\)', page[2].decode())
        return [page, *(asked(port, f"/{ALICE.token}/{one or other}") for one, other in loaded)]

    page, *loaded = served(ask)
    assert [answer[0] for answer in (page, *loaded)] == [200] * 4
    assert not re.findall(rb"https?:|//", page[2].replace(b"// ", b""))
    assert "default-src 'none'" in page[1]["Content-Security-Policy"] and page[1]["Referrer-Policy"] == "no-referrer"
    assert any(
        b"screenReaderMode:!0,screenReaderMode" not in one[2] and b"screenReaderMode:!0" in one[2] for one in loaded
    )


def test_all_else_is_refused_alike() -> None:
    at = f"/{ALICE.token}"
    wrong = "A" * len(ALICE.token)
    paths = (
        *(
            "/",
            "/ws",
            f"/{wrong}/",
            f"/{wrong}/ws",
            f"/{ALICE.token[:-1]}/",
            "/static/js/textual.js",
            "/logs",
            "/caf%C3%A9",
        ),
        *(f"{at}/static/", f"{at}/static/css/", f"{at}/download/x", f"{at}/logs/", f"{at}/people.sqlite", f"{at}/room"),
        *(
            f"{at}/static/../../server.py",
            f"{at}/static/%2e%2e/%2e%2e/server.py",
            f"{at}/../../../etc/passwd",
            f"{at}//etc",
        ),
        *(f"{at}/static/js/textual.js/", f"{at}/static/js/textual.js%00", f"{at}{BOB.token}/", f"/{wrong}/?room=room"),
    )

    def ask(port: int) -> list[Answer]:
        methods = [asked(port, f"{at}/", method) for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE")]
        return [*methods, *(asked(port, path) for path in paths)]

    answers = served(ask)
    assert len(answers) == len(paths) + 5
    assert all(answer == answers[0] for answer in answers), [answer for answer in answers if answer != answers[0]]
    assert answers[0][0] == 403 and answers[0][2] == b"Forbidden.\n" and answers[0][1]["Server"] == "audit_env"


def test_tokens_are_long_and_differ() -> None:
    assert ALICE.token != BOB.token and min(len(ALICE.token), len(BOB.token)) >= 32


@pytest.mark.parametrize("seats", [["alice", "alice"], ["alice", ""]])
def test_each_seat_has_a_name_of_its_own(seats: list[str]) -> None:
    with pytest.raises(SessionError, match="--seats alice,bob"):
        play_in_browsers(seats, {}, host="127.0.0.1", port=8000)


def test_a_port_that_is_taken_is_named(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIT_ENV_SESSIONS_DIR", str(tmp_path))

    def ask(port: int) -> None:
        with pytest.raises(SessionError, match=f"Cannot listen at 127.0.0.1:{port} .*--port"):
            play_in_browsers(["alice"], {}, host="127.0.0.1", port=port)

    served(ask)


def test_ctrl_c_closes_the_windows_and_ends_the_server(tmp_path: Path) -> None:
    with free_port() as port:
        closed, said, status = _ended_by_ctrl_c(tmp_path, port)
    # The server's own farewell, and not the end of a connection that it let hang.
    assert closed == WSCloseCode.OK
    assert said.startswith("Saved. The same command takes you back here") and status == 0


def _ended_by_ctrl_c(folder: Path, port: int) -> tuple[int | None, str, int]:
    """How the window was closed, what the server printed after the addresses, and its exit status."""
    command = "from audit_env.cli import main; main()"
    server = subprocess.Popen(
        [sys.executable, "-c", command, "session", "play", "alice", "--web", "--port", str(port)],
        env={**os.environ, FOLDER_VARIABLE: str(folder), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )

    async def sit(address: str) -> int | None:
        async with ClientSession() as browser, browser.ws_connect(f"{address}ws") as window:
            await window.receive_bytes()
            server.send_signal(signal.SIGINT)
            while not (await window.receive()).type.name.startswith("CLOS"):
                pass
            return window.close_code

    try:
        assert server.stdout
        addresses = (re.match(r"  alice: (http\S+)$", line) for line in server.stdout)
        closed = asyncio.run(sit(next(found[1] for found in addresses if found)))
        said, _ = server.communicate(timeout=180)
    finally:
        server.kill()
    return closed, said, server.returncode
