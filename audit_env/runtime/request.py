"""One answer that an engine on this machine is asked for, and what it gives."""

from collections.abc import Callable, Hashable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from audit_env.runtime.sampling import Sampling
from audit_env.runtime.spans import Placed

Adapter = TypeVar("Adapter")


class Generated(NamedTuple):
    """What one request yields."""

    ids: tuple[int, ...]
    """Generated tokens, without the one that ended the turn."""
    stop: Literal["stop", "length"]


@dataclass(frozen=True)
class Request(Generic[Adapter]):
    """One answer to generate."""

    prompt: tuple[int, ...]
    adapter: Adapter | None
    sampling: Sampling
    limit: int
    """Tokens to generate at most. Prompt and limit together fit the model's context."""
    edits: Placed | None = None
    """What is done to the residual stream."""
    base: tuple[int, ...] | None = None
    """The prompt as the base reads it, where what the adapter adds to the base is amplified."""
    future: "Future[Generated]" = field(default_factory=Future)

    @property
    def key(self) -> Hashable:
        """All that the answer follows from."""
        return self.adapter, self.prompt, self.sampling, self.limit, self.edits, self.base

    @property
    def reserved(self) -> int:
        """Positions that it may come to fill."""
        prompts = (self.prompt,) if self.base is None else (self.prompt, self.base)
        return sum(len(prompt) + self.limit for prompt in prompts)


def fulfil(future: "Future[Any]", compute: Callable[[], Any]) -> None:
    """Compute a result for whoever waits for a future, or tell them what went wrong."""
    if future.cancelled():
        return
    try:
        result = compute()
    except Exception as error:  # whatever it is, it is the caller's to see
        reject(future, error)
    else:
        resolve(future, result)


def resolve(future: "Future[Any]", result: object) -> None:
    """Give a result to whoever waits for a future."""
    with suppress(InvalidStateError):  # cancelled meanwhile
        future.set_result(result)


def reject(future: "Future[Any]", error: Exception) -> None:
    """Give an error to whoever waits for a future."""
    with suppress(InvalidStateError):  # cancelled meanwhile
        future.set_exception(error)
