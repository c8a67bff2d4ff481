"""The engine: one thread that owns a base, its adapters and the running batch.

Callers on any thread or event loop hand in requests and jobs, and wait for futures. Jobs (scoring, contrasts,
activations) run between two steps of the running batch, as batches of their own, so that what they compute does not
depend on who else is running.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

import torch

from audit_env.runtime.batching import MAX_ROWS
from audit_env.runtime.engine import GATHER_SECONDS, EngineClosed, LocalEngine, threads
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
        self._jobs: list[Job] = []
        self._inbox: queue.SimpleQueue[Sequence[Request[Adapter]] | Job | None] = queue.SimpleQueue()
        self._closed = False
        self._gate = threading.Lock()
        self._threads = threads()
        self._thread = threading.Thread(target=self._work, name="audit_env-small", daemon=True)
        self._thread.start()

    def generate(self, requests: Sequence[Request[Adapter]]) -> None:
        """Hand in requests (see `LocalEngine.generate`)."""
        self._put(requests)

    def run(self, compute: Callable[[Llama], Result]) -> "Future[Result]":
        """Compute something with the model (see `LocalEngine.run`)."""
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

    def _put(self, item: Sequence[Request[Adapter]] | Job) -> None:
        # Under the gate nothing can arrive after the None that ends the work, so nothing is left unanswered.
        with self._gate:
            if self._closed:
                raise EngineClosed
            self._inbox.put(item)

    def _work(self) -> None:
        # OpenMP keeps the number of threads per calling thread: this is the one that computes.
        torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode():
                while self._receive():
                    if self._jobs:
                        self._jobs.pop(0).run(self._model)
                    self.batch.advance()
        finally:
            self._end()

    def _end(self) -> None:
        """Tell everyone who still waits, also where the thread ends by an error that nobody foresaw."""
        with self._gate:
            self._closed = True
        while not self._inbox.empty():
            self._take(self._inbox.get())
        self.batch.fail(EngineClosed())
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
            self._take(item)
            deadline = deadline or time.monotonic() + GATHER_SECONDS
            if self._jobs or self.batch.waiting >= MAX_ROWS:
                return True

    def _take(self, item: Sequence[Request[Adapter]] | Job | None) -> None:
        if isinstance(item, Job):
            self._jobs.append(item)
        elif item is not None:
            self.batch.ask(item)
