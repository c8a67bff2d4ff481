"""Ports for servers of tests."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def free_port() -> Iterator[int]:
    """A port of this machine that nobody else is given until a server of the test listens at it.

    A socket that is bound, and does not listen, holds it. On Linux a server can be bound beside it, since both say that
    they may share the address (asyncio's servers do).
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        if sys.platform != "linux":
            held.close()
        yield port
