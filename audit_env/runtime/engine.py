"""An engine on this machine: one thread that owns a model, as its callers meet it."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import torch

from audit_env.errors import ParameterError
from audit_env.runtime.request import Request

GATHER_SECONDS = 0.003
"""How long an idle engine waits for companions of a first request."""

THREADS_VARIABLE = "AUDIT_ENV_THREADS"

Model = TypeVar("Model")
Adapter = TypeVar("Adapter")
Result = TypeVar("Result")


class LocalEngine(ABC, Generic[Model, Adapter]):
    """Generates and computes with one model, for callers on any thread or event loop."""

    @abstractmethod
    def generate(self, requests: Sequence[Request[Adapter]]) -> None:
        """Hand in requests; their futures will hold the answers.

        Args:
            requests: Answers to generate. Cancelling a future takes its request out of the batch.

        Raises:
            EngineClosed: If the engine is closed.
        """

    @abstractmethod
    def run(self, compute: Callable[[Model], Result]) -> "Future[Result]":
        """Compute something with the model.

        Args:
            compute: Called on the engine's thread, in inference mode. Everyone else waits for it: keep it to one batch.

        Returns:
            The future of its result.

        Raises:
            EngineClosed: If the engine is closed.
        """

    @abstractmethod
    def close(self) -> None:
        """Stop the thread. Whoever still waits gets `EngineClosed`."""


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
    given = os.environ.get(THREADS_VARIABLE)
    if given is None:
        return max(1, min(4, _cores() // 2))
    if not given.isdecimal() or int(given) < 1:
        raise ParameterError(f"AUDIT_ENV_THREADS is '{given}': set it to a whole number of threads, 1 or more.")
    return int(given)


def readers() -> int:
    """Threads that take jobs beside an engine's own one, each with as many threads of torch.

    Returns:
        1 where this process may use two cores or more, or as many threads of torch are asked for; otherwise 0.
    """
    return int((_cores() if os.environ.get(THREADS_VARIABLE) is None else threads()) > 1)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def apart(compute: Callable[[], Result]) -> Result:
    """Compute on a thread of its own, with as many threads of torch as an engine takes.

    For reading small weights: torch's own number of threads is for all cores, and where those are shared with another
    job, threads that wait for each other at every tensor took 30 times as long as one.

    Args:
        compute: What to compute. The caller waits for it.

    Returns:
        Its result.
    """
    with ThreadPoolExecutor(1, "audit_env-reader", initializer=torch.set_num_threads, initargs=(threads(),)) as pool:
        return pool.submit(compute).result()
