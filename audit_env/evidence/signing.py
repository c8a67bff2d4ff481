"""Which signatures a catalogue has: those that are shipped, or else those that its base acts out now."""

from inspect_ai.util import concurrency

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Card
from audit_env.errors import ParameterError
from audit_env.evidence.signatures import Signatures, acted_out, menu_sha256, shipped
from audit_env.runtime import cast

_made: dict[tuple[str, str], Signatures] = {}


async def signatures_of(catalog: Catalog) -> Signatures:
    """The signatures of a catalogue's menu.

    Args:
        catalog: The catalogue. The first of its bases with weights acts.

    Returns:
        Those that are shipped, where they are of this base and menu; else new ones, made once in a process.

    Raises:
        ParameterError: If the catalogue has no base with weights.
    """
    base = _base_of(catalog)
    key = _sha256(base), menu_sha256(catalog.menu().entries)
    given = shipped()
    if given and (given.base_sha256, given.menu_sha256) == key:
        return given
    async with concurrency("signatures", 1):
        if key not in _made:
            _made[key] = await signatures_made(catalog)
        return _made[key]


async def signatures_made(catalog: Catalog) -> Signatures:
    """Let a catalogue's base act its menu out.

    Args:
        catalog: The catalogue. The first of its bases with weights acts.

    Returns:
        New signatures.

    Raises:
        ParameterError: If the catalogue has no base with weights.
    """
    base = _base_of(catalog)
    folder = catalog.folder(base.id)
    cast.bind("signatures", base, folder, base_folder=folder, sham_folder=None)
    return await acted_out(cast.subject("signatures"), catalog.menu().entries, _sha256(base))


def _base_of(catalog: Catalog) -> Card:
    cards = (catalog.card(name) for name in catalog.organism_ids())
    base = next((card for card in cards if card.standing == "base" and card.weights), None)
    if base is None:
        raise ParameterError("The organisms folder has no base with weights that could act the menu out.")
    return base


def _sha256(base: Card) -> str:
    return base.weights.sha256 if base.weights else ""
