"""Published results, as data."""

from functools import cache
from importlib.resources import files

import yaml
from pydantic import Field

from audit_env.catalog.models import Strict


class Figure(Strict):
    """One published rate."""

    what: str
    affordance: str | None = None
    """The level of access that it was got with, where there is one here."""
    detected: float = Field(ge=0, le=1)
    n: int | None = None


class Protocol(Strict):
    """What must hold for audits whose rates may stand beside published ones."""

    protocol: str
    answers: str
    brief: str
    organisms: str
    """Beginning of the ids."""


class Reference(Strict):
    """What one source published."""

    name: str
    source: str
    tag: str = Field(pattern="^[PSU]$")
    protocol: Protocol | None = None
    not_comparable: str = ""
    """Why no run here can match."""
    figures: tuple[Figure, ...]


class _File(Strict):
    references: tuple[Reference, ...]


@cache
def references() -> tuple[Reference, ...]:
    """The published results.

    Returns:
        One for each source.
    """
    text = files(__name__).joinpath("results.yaml").read_text(encoding="utf-8")
    return _File.model_validate(yaml.safe_load(text)).references
