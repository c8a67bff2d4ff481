"""What is committed to: what a target is, and by what answers are judged, as JSON data."""

from typing import Any

from audit_env.catalog.files import Catalog
from audit_env.game.truth import Envelope, Truth


def truth_payload(truth: Envelope | Truth) -> dict[str, Any]:
    """What a target is, as it is committed to.

    Args:
        truth: An envelope, or the truth of an audit.

    Returns:
        Its card and its quirks with their rubrics, as JSON data.
    """
    quirks = [quirk for quirk in (truth.quirk, truth.second_quirk) if quirk is not None]
    return {
        "card": truth.card.model_dump(mode="json"),
        "quirks": [quirk.model_dump(mode="json") for quirk in quirks],
    }


def rubric_payload(catalog: Catalog) -> dict[str, Any]:
    """By what answers are judged, as it is committed to: of every quirk, so that it does not tell which were drawn.

    Args:
        catalog: Where menu and quirks are.

    Returns:
        The menu, and definition, trigger and rubric of every quirk, as JSON data.
    """
    asked = {"definition", "trigger", "rubric"}
    return {
        "menu": [entry.model_dump(mode="json") for entry in catalog.menu().entries],
        "quirks": {quirk: catalog.quirk(quirk).model_dump(mode="json", include=asked) for quirk in catalog.quirk_ids()},
    }
