"""Edits of the residual stream as plain data: what an engine is to change, and where.

An edit holds numbers and names of places, and no code, so that it crosses threads, processes and HTTP. Its `layer` is
the block after which it acts, 0 to `n_layers - 1`; -1 is the embedding. It acts on a position whenever that position is
computed: on those of the prompt when the prompt is read, on those of the answer while it is generated. Edits of one
layer act in the order in which they are given.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from audit_env.errors import ParameterError

Vector = npt.NDArray[np.float32]
"""A direction of the residual stream, `[d_model]`."""

Span = Literal["prompt", "header", "answer", "all"]
"""A part of a conversation.

prompt: every token before the assistant header. header: what the chat template adds to ask for an answer. answer: the
prefill and the tokens that are generated or given. all: everything.
"""

Unit = Literal["raw", "norm"]


def _check_choice(field: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ParameterError(f"{field}='{value}': choose one of {', '.join(choices)}.")


@dataclass(frozen=True)
class At:
    """A position in a part of a conversation, or all of its positions."""

    span: Span = "header"
    index: int | None = -1
    """Which token of the span, negative ones counted from its end; None for every token."""

    def __post_init__(self) -> None:
        _check_choice("At.span", self.span, get_args(Span))


BEFORE_ANSWER = At()
"""The last token of the assistant header, where the first token of the answer is decided if there is no prefill."""
EVERYWHERE = At("all", None)


@dataclass(frozen=True, eq=False)
class Add:
    """Adds to the residual: steering."""

    layer: int
    vector: Vector
    """`[d_model]`. Edits keep a copy of their own."""
    at: At = EVERYWHERE
    scale: float = 1.0
    unit: Unit = "raw"
    """raw: adds `scale * vector`. norm: adds the vector's direction, `scale` times as long as the very residual."""

    def __post_init__(self) -> None:
        _check_choice("Add.unit", self.unit, get_args(Unit))
        if not math.isfinite(self.scale):
            raise ParameterError(f"Add.scale={self.scale}: it must be a finite number.")
        _own_vector(self, nonzero=self.unit == "norm")


@dataclass(frozen=True, eq=False)
class Ablate:
    """Takes a direction out of the residual: what is left of it has no part along the vector."""

    layer: int
    vector: Vector
    """`[d_model]`; its length does not matter."""
    at: At = EVERYWHERE

    def __post_init__(self) -> None:
        _own_vector(self, nonzero=True)


@dataclass(frozen=True, eq=False)
class Replace:
    """Puts a vector in the residual's place: patching."""

    layer: int
    vector: Vector
    """`[d_model]`"""
    at: At = EVERYWHERE

    def __post_init__(self) -> None:
        _own_vector(self, nonzero=False)


Edit = Add | Ablate | Replace
"""What is done to the residual stream at one layer. Two edits are the same only if they are one object."""


def check_edits(edits: Sequence[Edit], *, n_layers: int, d_model: int) -> tuple[Edit, ...]:
    """Refuse edits that do not fit a model.

    Args:
        edits: What is to be done.
        n_layers: Blocks of the model.
        d_model: Numbers of its residual stream.

    Returns:
        The edits.

    Raises:
        ParameterError: If a vector has another length than the residual stream, or a layer does not exist.
    """
    for edit in edits:
        name = type(edit).__name__
        check_layer(edit.layer, n_layers, f"{name}.layer")
        if len(edit.vector) != d_model:
            raise ParameterError(
                f"{name}.vector has {len(edit.vector)} numbers, and the residual stream has {d_model}: "
                "give a vector of the same model."
            )
    return tuple(edits)


def check_layer(layer: int, n_layers: int, field: str = "layer") -> None:
    """Refuse a layer that a model does not have.

    Args:
        layer: Its number.
        n_layers: Blocks of the model.
        field: What the caller calls it.

    Raises:
        ParameterError: If it does not exist.
    """
    if not -1 <= layer < n_layers:
        raise ParameterError(f"{field}={layer}: the model has the layers 0 to {n_layers - 1}, and -1, its embedding.")


def unit_vector(vector: Vector) -> Vector:
    """A vector's direction, at length 1 (also where the square of its length is no number of fp32)."""
    exact = vector.astype(np.float64)
    return (exact / np.linalg.norm(exact)).astype(np.float32)


def _own_vector(edit: Edit, *, nonzero: bool) -> None:
    """Give an edit a copy of its vector that nobody can change, if it is one."""
    field = f"{type(edit).__name__}.vector"
    with np.errstate(over="ignore"):  # what fp32 does not hold becomes infinite, and is refused as such
        vector = np.array(edit.vector, dtype=np.float32)
    if vector.ndim != 1:
        raise ParameterError(f"{field} has the shape {vector.shape}: give one vector, [d_model].")
    if not np.isfinite(vector).all():
        raise ParameterError(f"{field} holds NaN or infinity, or a number too large for 32 bits: give finite numbers.")
    if nonzero and not vector.any():
        raise ParameterError(f"{field} is zero, which is no direction: give a vector with a length.")
    vector.setflags(write=False)
    object.__setattr__(edit, "vector", vector)
