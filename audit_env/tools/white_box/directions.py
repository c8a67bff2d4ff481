"""What stands behind a `vec:` handle: a direction of the residual stream and where it was read.

Every tool that makes a vector keeps a `Direction`, so that every tool that takes one can use any of them.
"""

from dataclasses import dataclass

from audit_env.tools import handles
from audit_env.tools.accounting import Call
from audit_env.tools.white_box.words import Floats


@dataclass(frozen=True, eq=False)
class Direction:
    """A direction of the residual stream after one block."""

    layer: int
    """Block after which it was read, from 0; -1 for the embedding."""
    vector: Floats
    """`[d_model]`, finite, as long as it was found to be."""
    what: str
    """One line for the auditor: what it was made from."""


def keep_direction(call: Call, direction: Direction) -> str:
    """Keep a direction for later calls of this audit.

    Args:
        call: The books of the call that made it.
        direction: What is kept.

    Returns:
        Its name, such as "vec:1".
    """
    return handles.keep(call, "vec", direction, direction.what)


def take_direction(call: Call, name: str) -> Direction:
    """The direction behind a handle.

    Args:
        call: The books of this call.
        name: Its name, such as "vec:1".

    Returns:
        The direction.

    Raises:
        ToolError: If this audit has nothing of that name.
    """
    direction: Direction = handles.take(call, name, "vec")
    return direction
