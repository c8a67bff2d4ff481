"""The engine: one thread that owns a base, its adapters and the running batch, and readers that help it.

Callers on any thread or event loop hand in requests and jobs, and wait for futures. Jobs (scoring, contrasts,
activations) run between two steps of the running batch or on a reader's thread, as batches of their own, so that what
they compute does not depend on who else is running, nor on the thread.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

import torch

from audit_env.errors import EngineClosed
from audit_env.runtime.batching import MAX_ROWS
from audit_env.runtime.engine import GATHER_SECONDS, LocalEngine, readers, threads
from audit_env.runtime.request import Request, fulfil, reject
from audit_env.runtime.small.adapter import Adapter
from audit_env.runtime.small.batch import Batch
from audit_env.runtime.small.model import Llama

Result = TypeVar("Result")


class Job(NamedTuple):
    """A computation that has the model to itself."""

    compute: Callable[[Llama], Any]
    future: "Future[Any]"

    def run(self, model: Llama) -> None:
        """Compute, and give the result or the error to whoever waits."""
        fulfil(self.future, lambda: self.compute(model))


class Engine(LocalEngine[Llama, Adapter]):
    """Generates and computes with one base, on a thread of its own."""

    def __init__(self, model: Llama) -> None:
        self.batch = Batch(model)
        """The running batch. Only its counters are for other threads to read."""
        self._model = model
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._inbox: queue.SimpleQueue[Sequence[Request[Adapter]] | None] = queue.SimpleQueue()
        self._closed = False
        self._gate = threading.Lock()
        self._threads = threads()
        self._thread = threading.Thread(target=self._work, name="audit_env-small", daemon=True)
        self._readers = [
            threading.Thread(target=self._read, name=f"audit_env-small-reader-{number}", daemon=True)
            for number in range(readers())
        ]
        for thread in (self._thread, *self._readers):
            thread.start()

    def generate(self, requests: Sequence[Request[Adapter]]) -> None:
        """Hand in requests (see `LocalEngine.generate`)."""
        self._put(requests)

    def run(self, compute: Callable[[Llama], Result]) -> "Future[Result]":
        """Compute something with the model (see `LocalEngine.run`)."""
        job = Job(compute, Future())
        self._put((), job)
        return job.future

    def close(self) -> None:
        """Stop the threads. Whoever still waits gets `EngineClosed`."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._inbox.put(None)
        for thread in (self._thread, *self._readers):
            thread.join()

    def _put(self, requests: Sequence[Request[Adapter]], job: Job | None = None) -> None:
        # Under the gate nothing can arrive after the None that ends the work, so nothing is left unanswered.
        with self._gate:
            if self._closed:
                raise EngineClosed
            if job:
                self._jobs.put(job)
            self._inbox.put(requests)  # which wakes the thread, also where a job is all that there is

    def _work(self) -> None:
        # OpenMP keeps the number of threads per calling thread: this is the one that computes.
        torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                while self._receive():
                    with suppress(queue.Empty):
                        if job := self._jobs.get_nowait():
                            job.run(self._model)
                    self.batch.advance()
        finally:
            self._end()

    def _read(self) -> None:
        """Take jobs while the engine's own thread is busy."""
        torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                while job := self._jobs.get():
                    job.run(self._model)
        finally:
            self._inbox.put(None)  # where it ends by an error that nobody foresaw, all ends

    def _end(self) -> None:
        """Tell everyone who still waits, also where the thread ends by an error that nobody foresaw."""
        with self._gate:
            self._closed = True
        while not self._inbox.empty():
            self._take(self._inbox.get())
        self.batch.fail(EngineClosed())
        with suppress(queue.Empty):
            while True:
                if job := self._jobs.get_nowait():
                    reject(job.future, EngineClosed())
        for _ in self._readers:
            self._jobs.put(None)

    def _receive(self) -> bool:
        """Take in what has arrived. Wait for it when there is nothing else to do.

        Returns:
            False when the engine is to stop.
        """
        idle = self.batch.idle and self._jobs.empty()
        deadline: float | None = None
        while True:
            try:
                wait = None if deadline is None else max(0.0, deadline - time.monotonic())
                item = self._inbox.get(block=idle, timeout=wait)
            except queue.Empty:
                return True
            if item is None:
                return False
            self._take(item)
            deadline = deadline or time.monotonic() + GATHER_SECONDS
            if not self._jobs.empty() or self.batch.waiting >= MAX_ROWS:
                return True

    def _take(self, requests: Sequence[Request[Adapter]] | None) -> None:
        if requests:
            self.batch.ask(requests)
