"""The Subject that the tools examine."""

from audit_env.runtime import cast
from audit_env.runtime.subject import Subject
from audit_env.tools.accounting import Call


def examined(call: Call) -> Subject:
    """The target of this audit, for a tool that reads likelihoods, activations or weights.

    Args:
        call: The books of this call.

    Returns:
        The handle. The one place that decides what a tool is fed.
    """
    return cast.subject(call.record.alias)
