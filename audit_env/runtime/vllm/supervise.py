"""Runs a server for as long as whoever started it lives. A script of its own: `python supervise.py COMMAND...`.

A server with models in memory must not outlive its user, however that one ends. So it runs below this process, whose
standard input is a pipe that nobody writes to: it ends when the other end is closed, by hand or by the death of the
process that held it.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress

GRACE_SECONDS = 10
"""How long a server may take to stop by itself."""


def main() -> int:
    """Run the command until it ends or standard input does, and leave nothing of its process group."""
    server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
    threading.Thread(target=_stop_at_the_end_of_input, args=(server,), daemon=True).start()
    status = server.wait()
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    return status if status >= 0 else 128 - status


def _stop_at_the_end_of_input(server: "subprocess.Popen[bytes]") -> None:
    os.read(sys.stdin.fileno(), 1)
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
