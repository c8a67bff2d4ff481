"""What goes over the line between a subject and the process that computes it."""

import logging
from dataclasses import dataclass, field
from traceback import format_exc
from typing import Any, Self

from audit_env.errors import AuditEnvError
from audit_env.runtime.subject import Capability


@dataclass(frozen=True)
class Call:
    """Asks for something: a method of a subject, or of the worker itself."""

    number: int
    subject: int | None
    """Whose method; None for the worker's own."""
    method: str
    arguments: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Cancel:
    """Nobody waits any more for what a call asked for."""

    number: int


@dataclass(frozen=True)
class Forget:
    """Nobody holds a subject any more. Of a perturbed copy, its weights go with it."""

    subject: int


@dataclass(frozen=True)
class Answer:
    """What a call gave."""

    number: int
    value: Any


@dataclass(frozen=True)
class Failure:
    """A call ended in an error."""

    number: int
    type: type[Exception]
    text: str
    traceback: str

    @classmethod
    def of(cls, number: int, error: Exception) -> Self:
        """Tell of an error, which is being handled.

        Args:
            number: Of the call.
            error: Ours and Python's own keep their type; one of another package may not even be importable where it
                goes, and becomes a `RuntimeError`.
        """
        kind, text = type(error), str(error)
        if not isinstance(error, AuditEnvError) and kind.__module__ != "builtins":
            kind, text = RuntimeError, f"{kind.__name__}: {text}"
        return cls(number, kind, text, format_exc())

    @property
    def error(self) -> Exception:
        """The error, with the traceback of where it was raised as a note."""
        error = self.type.__new__(self.type)  # its own way of being made may want more than the text
        error.args = (self.text,)
        error.add_note(self.traceback)
        return error


@dataclass(frozen=True)
class Said:
    """A record of a logger, for the log of whoever asked."""

    record: logging.LogRecord


@dataclass(frozen=True)
class Facts:
    """What a subject says of itself without being asked twice."""

    number: int
    alias: str
    engine: str
    capabilities: frozenset[Capability]
    n_layers: int
    d_model: int
    vocab_size: int
    context_length: int
