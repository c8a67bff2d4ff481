"""The Subject that the tools examine."""

from audit_env.game.feed import fed_alias
from audit_env.runtime import cast
from audit_env.runtime.subject import Subject
from audit_env.tools.accounting import Call


def examined(call: Call) -> Subject:
    """What a grey-box or white-box tool reads likelihoods, activations or weights of.

    Args:
        call: The books of this call.

    Returns:
        The handle: the target, or what stands in for it in this call (`audit_env.game.feed`).
    """
    return cast.subject(examined_alias(call))


def examined_alias(call: Call) -> str:
    """The alias of what a grey-box or white-box tool reads, for tools that ask it as a model.

    The one place that decides what a tool is fed. The record notes that this call asked, not what it got.

    Args:
        call: The books of this call.

    Returns:
        The alias.
    """
    record = call.record
    if call.number not in record.examined:
        record.examined.append(call.number)
    return fed_alias(record, call.number)


def spoken_to(call: Call) -> Subject:
    """What a black-box tool talks to, where it needs more than the chat of a model: always the target itself.

    Args:
        call: The books of this call.

    Returns:
        The handle.
    """
    return cast.subject(call.record.alias)
