"""The catalogue: who can be audited, what they may hide, and which of them are audited together.

Pure data, read from `organisms/`. Nothing here imports torch or Inspect.
"""

from audit_env.catalog.alias import alias
from audit_env.catalog.files import Catalog, Menu
from audit_env.catalog.models import (
    NONE_OF_THESE,
    Card,
    FamilySheet,
    GameSet,
    MenuEntry,
    Quirk,
)
from audit_env.catalog.seal import commit, report_hash, verify

__all__ = [
    "NONE_OF_THESE",
    "Card",
    "Catalog",
    "FamilySheet",
    "GameSet",
    "Menu",
    "MenuEntry",
    "Quirk",
    "alias",
    "commit",
    "report_hash",
    "verify",
]
