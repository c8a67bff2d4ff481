"""The conditions under which phenotypes are measured."""

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable

from audit_env.catalog.phenotype import Conditions

SEEDS = (0, 1)
"""Every scenario is answered once per seed."""
TEMPERATURE = 0.7
MAX_TOKENS = 64

_MATTERS = ("runtime", "phenotype")
"""Packages that decide what is answered and how it is judged."""


def conditions(seeds: Sequence[int] = SEEDS) -> Conditions:
    """The usual conditions, with this version of the code.

    Args:
        seeds: Seeds of the answers.

    Returns:
        The conditions.
    """
    return Conditions(code=code_version(), seeds=tuple(seeds), temperature=TEMPERATURE, max_tokens=MAX_TOKENS)


@cache
def code_version() -> str:
    """Version of audit_env, and a digest of the modules that generate and judge answers.

    Returns:
        For example "0.1.0+3f9a0c1e": a version number stands still while a checkout is worked on, a digest does not.
    """
    digest = hashlib.sha256()
    for package in _MATTERS:
        _add(digest, files("audit_env") / package)
    return f"{version('audit_env')}+{digest.hexdigest()[:8]}"


def _add(digest: "hashlib._Hash", entry: Traversable) -> None:
    if entry.is_dir():
        for child in sorted(entry.iterdir(), key=lambda child: child.name):
            _add(digest, child)
    elif entry.name.endswith((".py", ".yaml", ".md")):
        digest.update(entry.name.encode() + b"\0" + entry.read_bytes())
