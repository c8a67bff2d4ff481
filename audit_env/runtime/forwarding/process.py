"""The process that computes, as those who ask it meet it."""

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Hashable
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from typing import Any, ClassVar

from audit_env.errors import AuditEnvError, EngineClosed, ServerError
from audit_env.runtime.forwarding.line import Line
from audit_env.runtime.forwarding.messages import Answer, Call, Cancel, Facts, Failure, Forget, Said

VARIABLE = "AUDIT_ENV_ENGINE_PROCESS"
"""Where the engines `small` and `hf` compute: "own", in a process of theirs, or "here", in that of the run."""

GRACE_SECONDS = 5
"""How long the process may take to end by itself."""


class EngineProcess:
    """One per process that asks. It loads while that one goes on."""

    PROGRAM: ClassVar[tuple[str, ...]] = ("-P", "-m", "audit_env.runtime.forwarding.worker")
    """What Python runs, with the number of the line's descriptor behind it."""

    def __init__(self) -> None:
        """Start it."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, *self.PROGRAM, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                process_group=0,  # Ctrl-C is for whoever asks, and the end of that one is the end of this
            )
        self._line = Line(ours.detach())
        self._numbers = count()
        self._waiting: dict[int, Future[Any]] = {}
        self._shared: dict[Hashable, dict[str, Any]] = {}
        self._closed: AuditEnvError | None = None
        self._gate = threading.Lock()
        self._thread = threading.Thread(target=self._receive, name="audit_env-answers", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._closed is None

    def call(self, subject: int | None, method: str, *arguments: Any, **options: Any) -> "Future[Any]":
        """Ask for something.

        Args:
            subject: Whose method, by the number of its facts; None for the worker's own.
            method: Its name.
            *arguments: For it: plain data.
            **options: For it.

        Returns:
            The future of what it gives. Cancelling it ends the computation.

        Raises:
            EngineClosed: If the process was closed.
            ServerError: If it has died.
        """
        number, future = next(self._numbers), Future[Any]()
        with self._gate:
            if self._closed:
                raise self._closed
            self._waiting[number] = future
        future.add_done_callback(lambda done: self._give_up(number) if done.cancelled() else None)
        self._send(Call(number, subject, method, arguments, options))
        return future

    def forget(self, subject: int) -> None:
        """Let go of a subject.

        Args:
            subject: Its number.
        """
        self._send(Forget(subject))

    def shared(self, base: Hashable) -> dict[str, Any]:
        """What all subjects of a base have in common, as far as one of them has asked for it.

        Args:
            base: What tells this base from others.

        Returns:
            The very dictionary that is to be filled.
        """
        return self._shared.setdefault(base, {})

    def close(self) -> None:
        """End it. Whoever still waits gets `EngineClosed`."""
        self._end(EngineClosed())
        self._process.terminate()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join()
        self._line.close()

    def _give_up(self, number: int) -> None:
        with self._gate:
            waited = self._waiting.pop(number, None) is not None
        if waited:
            self._send(Cancel(number))

    def _send(self, message: Call | Cancel | Forget) -> None:
        # Where the other end is gone, those who wait are told by the thread that receives.
        with suppress(OSError):
            self._line.send(message)

    def _receive(self) -> None:
        try:
            while True:
                self._take(self._line.receive())
        except (EOFError, OSError):
            self._end(ServerError(_died(self._process.wait())))

    def _take(self, message: Answer | Failure | Said) -> None:
        if isinstance(message, Said):
            logging.getLogger(message.record.name).handle(message.record)
            return
        with self._gate:
            future = self._waiting.pop(message.number, None)
        if future is None or not future.set_running_or_notify_cancel():
            if isinstance(message, Answer) and isinstance(message.value, Facts):
                self.forget(message.value.number)  # opened for somebody who has given up
        elif isinstance(message, Answer):
            future.set_result(message.value)
        else:
            future.set_exception(message.error)

    def _end(self, why: AuditEnvError) -> None:
        with self._gate:
            self._closed = self._closed or why
            waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if future.set_running_or_notify_cancel():
                future.set_exception(self._closed)


def _died(status: int) -> str:
    how = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    perhaps = ", perhaps because memory ran out" if status == -signal.SIGKILL else ""
    return (
        f"The process that computes organisms has ended ({how}{perhaps}): start the run again. Set "
        f"{VARIABLE}=here to compute in the run's own process."
    )
