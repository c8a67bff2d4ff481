"""A person as an Inspect model: `human/NAME`.

A module of its own, and empty but for this, so that naming the provider loads nothing else.
"""

from inspect_ai.model import ModelAPI, modelapi

PROVIDER = "human"


@modelapi(name=PROVIDER)
def human() -> type[ModelAPI]:
    """A person at this terminal."""
    from audit_env.sessions.person import PersonAPI

    return PersonAPI
