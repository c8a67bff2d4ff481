"""The process that computes: `python -m audit_env.runtime.forwarding.worker DESCRIPTOR`.

It holds the bases and their subjects, answers calls as they come, many at a time on one event loop, and ends when the
line does: by hand, or with the death of the process that started it.
"""

import asyncio
import copy
import importlib
import logging
import os
import sys
import threading
from contextlib import AsyncExitStack, suppress
from inspect import isawaitable
from itertools import count
from pathlib import Path
from typing import Any

from audit_env.catalog.models import Engine
from audit_env.errors import EngineClosed
from audit_env.runtime import computing
from audit_env.runtime.computing import Options, Part
from audit_env.runtime.forwarding.line import Line
from audit_env.runtime.forwarding.messages import Answer, Call, Cancel, Facts, Failure, Forget, Said
from audit_env.runtime.perturbation import Perturbation
from audit_env.runtime.subject import Subject

SWITCH_SECONDS = 0.0005
"""How long the event loop may hold Python's lock while the engine's thread waits for it, as at every product."""


class Worker:
    """The subjects of one process, and the calls that are under way."""

    def __init__(self, line: Line) -> None:
        """Make one without subjects.

        Args:
            line: To whoever asks.
        """
        self._line = line
        self._numbers = count()
        self._subjects: dict[int, Subject] = {}
        self._perturbed: dict[int, AsyncExitStack] = {}
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def work(self) -> None:
        """Answer until the line ends."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def receive() -> None:
            with suppress(EOFError, OSError):
                while True:
                    loop.call_soon_threadsafe(self._take, self._line.receive())
            loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=receive, name="audit_env-calls", daemon=True).start()
        await ended.wait()

    def computed(self, name: str, part: Part, engine: Engine, anew: bool, options: Options) -> Facts:
        """Open a subject (see `computing.computed`)."""
        return self._opened(computing.computed(name, part, engine, anew=anew, options=options))

    def wearing(self, name: str, part: Part, engine: Engine, folder: Path) -> Facts:
        """Open a base that wears an adapter (see `computing.wearing`)."""
        return self._opened(computing.wearing(name, part, engine, folder))

    async def perturb(self, number: int, how: Perturbation) -> Facts:
        """Open a perturbed copy of a subject (see `Subject.perturbed`)."""
        async with AsyncExitStack() as stack:
            facts = self._opened(await stack.enter_async_context(self._subject(number).perturbed(how)))
            self._perturbed[facts.number] = stack.pop_all()
        return facts

    def _subject(self, number: int) -> Subject:
        if number not in self._subjects:
            raise EngineClosed  # a perturbed copy, asked after its context
        return self._subjects[number]

    def _opened(self, subject: Subject) -> Facts:
        number = next(self._numbers)
        self._subjects[number] = subject
        return Facts(
            number=number,
            alias=subject.alias,
            engine=subject.engine,
            capabilities=subject.capabilities,
            n_layers=subject.n_layers,
            d_model=subject.d_model,
            vocab_size=subject.vocab_size,
            context_length=subject.context_length,
        )

    def _take(self, message: Call | Cancel | Forget) -> None:
        if isinstance(message, Call):
            call = asyncio.create_task(self._answer(message))
            self._calls[message.number] = call
            call.add_done_callback(lambda _: self._calls.pop(message.number))
        elif isinstance(message, Cancel):
            if message.number in self._calls:
                self._calls[message.number].cancel()
        else:
            self._forget(message.subject)

    def _forget(self, number: int) -> None:
        """Let go of a subject, and of the weights of a perturbed copy. It may be gone already."""
        self._subjects.pop(number, None)
        if copied := self._perturbed.pop(number, None):
            closing = asyncio.create_task(copied.aclose())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _answer(self, call: Call) -> None:
        try:
            owner: Any = self if call.subject is None else self._subject(call.subject)
            value = getattr(owner, call.method)(*call.arguments, **call.options)
            self._line.send(Answer(call.number, await value if isawaitable(value) else value))
        except Exception as error:
            with suppress(OSError):  # where the line itself has ended
                self._line.send(Failure.of(call.number, error))


class LogToLine(logging.Handler):
    """Passes on what is logged here, as text: whoever asked has the log."""

    def __init__(self, line: Line) -> None:
        """Make a handler.

        Args:
            line: To whoever asks.
        """
        super().__init__()
        self._line = line

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record."""
        told = copy.copy(record)
        told.msg, told.args, told.exc_info, told.exc_text, told.stack_info = self.format(record), None, None, None, None
        with suppress(OSError):
            self._line.send(Said(told))


def _load() -> None:
    # While whoever started this process is still busy with other things. What is missing is told with the first call.
    with suppress(ImportError):
        importlib.import_module("audit_env.runtime.small.subject")
        importlib.import_module("audit_env.runtime.small.base")


def main() -> None:
    """Work, and end at once when nobody asks any more: what is still computed has lost its reader."""
    line = Line(int(sys.argv[1]))
    logging.getLogger().addHandler(LogToLine(line))
    logging.captureWarnings(True)
    sys.setswitchinterval(SWITCH_SECONDS)
    threading.Thread(target=_load, name="audit_env-loading", daemon=True).start()
    asyncio.run(Worker(line).work())
    os._exit(0)


if __name__ == "__main__":
    main()
