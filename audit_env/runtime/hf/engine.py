"""The engine: one thread that owns a model and its adapters.

Everything that touches the model is a task in this thread's queue: a job (a reading), or one token for every row of the
running batch. So no pass can meet the adapter of another, and a job waits for one step of generation and not for its
end.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import torch

from audit_env.errors import EngineClosed
from audit_env.runtime.engine import GATHER_SECONDS, LocalEngine, threads
from audit_env.runtime.hf.adapters import Worn
from audit_env.runtime.hf.batch import Batch
from audit_env.runtime.hf.model import HfModel
from audit_env.runtime.request import Request, fulfil

Result = TypeVar("Result")


class Engine(LocalEngine[HfModel, Worn]):
    """Generates and computes with one model, on a thread of its own."""

    def __init__(self, model: HfModel) -> None:
        self._model, self._batch = model, Batch(model)
        self._generating = False
        """Whether a next step of the batch is in the queue. For the thread alone."""
        self._closed = False
        self._gate = threading.Lock()
        # OpenMP keeps the number of threads per calling thread: this is the one that computes.
        self._thread = ThreadPoolExecutor(1, "audit_env-hf", initializer=torch.set_num_threads, initargs=(threads(),))

    def generate(self, requests: Sequence[Request[Worn]]) -> None:
        """Hand in requests (see `LocalEngine.generate`)."""
        self._queue(self._take, requests)

    def run(self, compute: Callable[[HfModel], Result]) -> "Future[Result]":
        """Compute something with the model (see `LocalEngine.run`)."""
        future: Future[Result] = Future()
        self._queue(self._compute, compute, future)
        return future

    def close(self) -> None:
        """Stop the thread. Whoever still waits gets `EngineClosed`."""
        with self._gate:
            self._closed = True
        self._thread.shutdown()
        self._batch.fail(EngineClosed())

    def _queue(self, task: Callable[..., None], *given: Any) -> None:
        # Under the gate nothing can be queued after the thread was told to stop.
        with self._gate:
            if self._closed:
                raise EngineClosed
            self._thread.submit(task, *given)

    def _compute(self, compute: Callable[[HfModel], Any], future: "Future[Any]") -> None:
        def with_model() -> Any:
            if self._closed:
                raise EngineClosed
            with torch.inference_mode():
                return compute(self._model)

        fulfil(future, with_model)

    def _take(self, requests: Sequence[Request[Worn]]) -> None:
        self._batch.ask(requests)
        if not self._generating:
            time.sleep(GATHER_SECONDS)  # for companions, which come in before the first step
            self._generate_on()

    def _step(self) -> None:
        try:
            with torch.inference_mode():
                self._batch.advance()
        except Exception as error:  # which nobody foresaw: better an error for all than waiting without end
            self._batch.fail(error)
        self._generate_on()

    def _generate_on(self) -> None:
        """Queue the next step, behind what has come in meanwhile."""
        self._generating = not self._batch.idle
        if self._generating:
            with suppress(EngineClosed):  # `close` tells those who wait
                self._queue(self._step)
