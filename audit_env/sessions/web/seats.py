"""The seats of a team: each is a token, and one window at a time in which its player's app is shown."""

import asyncio
import json
import secrets
import shlex
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

FAREWELL = 2.0
"""Seconds that a browser has for answering when its window is closed."""
_BYTES = 24
"""Of randomness in a token."""
_LONGEST = 1 << 16
"""Bytes of one message of a browser."""
_SIZES = {"width": (80, 20, 500), "height": (24, 10, 200)}
"""Columns and lines of a terminal: by default, at least, at most."""
_FONT = "fonts/RobotoMono-VariableFont_wght.ttf"
_ALONE = "allowProposedApi:!0"
_WITH_READER = f"{_ALONE},screenReaderMode:!0"
"""A setting of textual-serve's terminal, and the same with a text for screen readers, which it does not offer."""


class Seat:
    """One player's place.

    Args:
        who: The player.
        room: Of the game.
        changed: Called when they sit down or leave.
    """

    def __init__(self, who: str, room: str, changed: Callable[[], None]) -> None:
        self.who = who
        self.token = secrets.token_urlsafe(_BYTES)
        # Without a shell between, so that the app sees when this server is gone.
        self._command = "exec " + shlex.join([sys.executable, "-m", "audit_env.sessions.app", room, who])
        self._changed = changed
        self._window: web.WebSocketResponse | None = None

    @property
    def is_taken(self) -> bool:
        """Whether the player sits here."""
        return self._window is not None

    async def serve(self, what: str, request: web.Request) -> web.StreamResponse | None:
        """Answer a request.

        Args:
            what: The path below the token.
            request: The request.

        Returns:
            The answer; None where there is nothing of that path.
        """
        if what == "ws":
            return await self._show(request)
        if what in _FILES:
            content, kind = _FILES[what]()
            return web.Response(body=content, content_type=kind, charset="utf-8" if kind.startswith("text") else None)
        return None

    async def close(self) -> None:
        """Close the window, where one is open."""
        if self._window is not None:
            await self._window.close()

    async def _show(self, request: web.Request) -> web.WebSocketResponse:
        """Show the app in a window, until it is closed. A window that was open before is closed."""
        window = web.WebSocketResponse(timeout=FAREWELL, heartbeat=15, max_msg_size=_LONGEST)
        await window.prepare(request)
        before, self._window = self._window, window
        if before is not None:
            await before.close()
        self._changed()

        async def close() -> None:
            await window.close()

        app = AppService(
            self._command,
            write_bytes=window.send_bytes,
            write_str=window.send_str,
            close=close,
            download_manager=DownloadManager(),
        )
        try:
            await app.start(_size("width", request.query.get("width")), _size("height", request.query.get("height")))
            async for message in window:
                if message.type == WSMsgType.TEXT:
                    await _pass_on(message.data, app, window)
        finally:
            if self._window is window:
                self._window = None
                self._changed()
            await asyncio.shield(app.stop())
        return window


async def _pass_on(message: str, app: AppService, window: web.WebSocketResponse) -> None:
    """Pass a message of a browser on to the app. One that cannot be read is dropped."""
    try:
        kind, *rest = json.loads(message)
    except (TypeError, ValueError):
        return
    content = rest[0] if rest else None
    if kind == "stdin" and isinstance(content, str):
        await app.send_bytes(content.encode("utf-8", "replace"))
    elif kind == "resize" and isinstance(content, dict):
        await app.set_terminal_size(*(_size(name, content.get(name)) for name in _SIZES))
    elif kind == "ping":
        await window.send_json(["pong", content])


def _size(name: str, given: Any) -> int:
    default, least, most = _SIZES[name]
    try:
        return min(max(int(given), least), most)
    except (TypeError, ValueError):
        return default


def _script() -> bytes:
    return _static("js/textual.js").replace(_ALONE.encode(), _WITH_READER.encode())


def _static(name: str) -> bytes:
    return files("textual_serve").joinpath("static", name).read_bytes()


_FILES: dict[str, Callable[[], tuple[bytes, str]]] = {
    "": lambda: (Path(__file__).with_name("page.html").read_bytes(), "text/html"),
    "static/js/textual.js": lambda: (_script(), "text/javascript"),
    "static/css/xterm.css": lambda: (_static("css/xterm.css"), "text/css"),
    f"static/{_FONT}": lambda: (_static(_FONT), "font/ttf"),
}
"""All that can be read below a token, but for the socket."""
