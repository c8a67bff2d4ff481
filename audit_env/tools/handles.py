"""Handles: what one tool found, by a short name that other tools take (`vec:3`).

What stands behind a handle stays in memory, with the sample that it belongs to: a vector of a large model must not land
in the log. The record lists the handles, so that a reader of the log sees what was made, when, and from what.
"""

from typing import Any
from weakref import finalize

from inspect_ai.tool import ToolError
from inspect_ai.util import store

from audit_env.game.record import Handle, HandleKind
from audit_env.tools.accounting import Call

_KEPT: dict[int, dict[str, Any]] = {}
"""By the identity of the sample's store (a store has no hash), and as long as that lives."""


def keep(call: Call, kind: HandleKind, value: Any, what: str) -> str:
    """Keep something for later calls of this audit.

    Args:
        call: The books of the call that made it.
        kind: What it is.
        value: The thing itself, with all that a tool needs to use it.
        what: One line for the auditor: what it is and what it was made from.

    Returns:
        Its name, such as "vec:3".
    """
    handles = call.record.handles
    name = f"{kind}:{1 + sum(handle.kind == kind for handle in handles)}"
    handles.append(Handle(id=name, kind=kind, what=what, at_call=call.number))
    _kept()[name] = value
    return name


def take(call: Call, name: str, kind: HandleKind) -> Any:
    """What stands behind a handle.

    Args:
        call: The books of this call.
        name: Its name.
        kind: What it must be.

    Returns:
        The value that was kept.

    Raises:
        ToolError: If this audit has nothing of that name and kind.
    """
    kept = _kept()
    if name in kept and name.startswith(f"{kind}:"):
        return kept[name]
    made = [f"{handle.id} ({handle.what})" for handle in call.record.handles if handle.kind == kind]
    there_is = f"there is {', '.join(made)}" if made else f"no tool has made a '{kind}:' handle yet"
    raise ToolError(f"No handle '{name}' that could be used here: {there_is}.")


def _kept() -> dict[str, Any]:
    """What this sample keeps."""
    of_sample = store()
    if id(of_sample) not in _KEPT:
        _KEPT[id(of_sample)] = {}
        finalize(of_sample, _KEPT.pop, id(of_sample))
    return _KEPT[id(of_sample)]
