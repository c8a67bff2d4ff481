"""The engine: one thread that owns a base, its adapters and the running batch.

Callers on any thread or event loop hand in requests and jobs, and wait for futures. Jobs (scoring, contrasts,
activations) run between two steps of the running batch, as batches of their own, so that what they compute does not
depend on who else is running.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import torch

from audit_env.errors import AuditEnvError, ParameterError
from audit_env.runtime.small.batch import Batch, Request, reject
from audit_env.runtime.small.model import MAX_ROWS, Llama

GATHER_SECONDS = 0.003
"""How long an idle engine waits for companions of a first request."""

Result = TypeVar("Result")


class EngineClosed(AuditEnvError):
    """The engine was closed before it could answer."""

    def __init__(self) -> None:
        super().__init__("The engine was closed while this request was waiting: ask for the subject again.")


class Job(NamedTuple):
    """A computation that has the model to itself."""

    compute: Callable[[Llama], Any]
    future: "Future[Any]"

    def run(self, model: Llama) -> None:
        """Compute, and give the result or the error to whoever waits."""
        if self.future.cancelled():
            return
        try:
            result = self.compute(model)
        except Exception as error:  # whatever it is, it is the caller's to see
            reject(self.future, error)
        else:
            with suppress(InvalidStateError):  # cancelled meanwhile
                self.future.set_result(result)


class Engine:
    """Generates and computes with one base, on a thread of its own."""

    def __init__(self, model: Llama) -> None:
        self.batch = Batch(model)
        """The running batch. Only its counters are for other threads to read."""
        self._model = model
        self._jobs: list[Job] = []
        self._inbox: queue.SimpleQueue[Sequence[Request] | Job | None] = queue.SimpleQueue()
        self._closed = False
        self._gate = threading.Lock()
        self._threads = threads()
        self._thread = threading.Thread(target=self._work, name="audit_env-small", daemon=True)
        self._thread.start()

    def generate(self, requests: Sequence[Request]) -> None:
        """Hand in requests; their futures will hold the answers.

        Args:
            requests: Answers to generate. Cancelling a future takes its request out of the batch.

        Raises:
            EngineClosed: If the engine is closed.
        """
        self._put(requests)

    def run(self, compute: Callable[[Llama], Result]) -> "Future[Result]":
        """Compute something with the model.

        Args:
            compute: Called on the engine's thread, in inference mode. Generation waits for it: keep it to one batch.

        Returns:
            The future of its result.

        Raises:
            EngineClosed: If the engine is closed.
        """
        job = Job(compute, Future())
        self._put(job)
        return job.future

    def close(self) -> None:
        """Stop the thread. Whoever still waits gets `EngineClosed`."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._inbox.put(None)
        self._thread.join()

    def _put(self, item: Sequence[Request] | Job) -> None:
        # Under the gate nothing can arrive after the None that ends the work, so nothing is left unanswered.
        with self._gate:
            if self._closed:
                raise EngineClosed
            self._inbox.put(item)

    def _work(self) -> None:
        # OpenMP keeps the number of threads per calling thread: this is the one that computes.
        torch.set_num_threads(self._threads)
        with torch.inference_mode():
            while self._receive():
                if self._jobs:
                    self._jobs.pop(0).run(self._model)
                try:
                    self.batch.advance()
                except Exception as error:  # a fault of one step is the fault of all who are in it, and of no one later
                    self.batch.fail(error)
        self.batch.fail(EngineClosed(), waiting=True)
        for job in self._jobs:
            reject(job.future, EngineClosed())

    def _receive(self) -> bool:
        """Take in what has arrived. Wait for it when there is nothing else to do.

        Returns:
            False when the engine is to stop.
        """
        idle = self.batch.idle and not self._jobs
        deadline: float | None = None
        while True:
            try:
                wait = None if deadline is None else max(0.0, deadline - time.monotonic())
                item = self._inbox.get(block=idle, timeout=wait)
            except queue.Empty:
                return True
            if item is None:
                return False
            if isinstance(item, Job):
                self._jobs.append(item)
            else:
                self.batch.waiting += item
            deadline = deadline or time.monotonic() + GATHER_SECONDS
            if self._jobs or len(self.batch.waiting) >= MAX_ROWS:
                return True


def threads() -> int:
    """Threads that torch computes with.

    `AUDIT_ENV_THREADS` if it is set. Otherwise half of the cores that this process may use, at most four: the event
    loop wants a core for itself, small models gain little from more (1.2 to 1.5 times from a second thread on an idle
    machine), and on cores shared with another job, threads that wait for each other made generation 3 to 5 times
    slower.

    Returns:
        At least 1.

    Raises:
        ParameterError: If the variable is not a positive whole number.
    """
    given = os.environ.get("AUDIT_ENV_THREADS")
    if given is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return max(1, min(4, cores // 2))
    if not given.isdecimal() or int(given) < 1:
        raise ParameterError(f"AUDIT_ENV_THREADS is '{given}': set it to a whole number of threads, 1 or more.")
    return int(given)
