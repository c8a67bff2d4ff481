"""Sparse dictionaries of a base's activations: the card that lies beside the weights of each.

A dictionary is a folder beside the base's own, in the form in which SAELens saves one (`cfg.json` and
`sae_weights.safetensors`, see `audit_env.runtime.dictionaries`), with a card, `dictionary.yaml`. It is made from the
base alone and so tells nothing of any organism.
"""

from pathlib import Path

from pydantic import Field

from audit_env.catalog.models import Card, OrganismId, Sha256, Strict
from audit_env.catalog.reading import read

FILE = "dictionary.yaml"
"""Name of the card."""


class DictionaryCard(Strict):
    """What a dictionary was made from, and how good it is on text that it was not trained on."""

    base: OrganismId
    base_sha256: Sha256
    """Weights of the base whose activations it was trained on. It is not offered for others."""
    sha256: Sha256
    """Hash of `sae_weights.safetensors`."""
    layer: int = Field(ge=-1)
    """Block after which the residual stream is read; -1 for the embedding."""
    latents: int = Field(ge=1)
    tokens: int = Field(ge=1)
    """Activations that it was trained on, each seen several times."""
    steps: int = Field(ge=1)
    seed: int
    data_sha256: Sha256
    """Hash of the texts."""
    held_out_tokens: int = Field(ge=1)
    fvu: float = Field(ge=0.0)
    """Share of the variance of held-out activations that it does not explain."""
    l0: float = Field(ge=0.0)
    """Latents that are on at a held-out activation, on average."""
    alive: int = Field(ge=0)
    """Latents that are on at some held-out activation."""
    kl: float = Field(ge=0.0)
    """Mean KL divergence of the base's next token from that with the dictionary's reconstruction put in the residual's
    place, nats."""
    licence: str = Field(min_length=1)
    notes: str = ""


def dictionaries_of(base_folder: Path) -> dict[Path, DictionaryCard]:
    """The dictionaries of a base.

    Args:
        base_folder: Where the base's card lies. A folder without a card has no dictionaries.

    Returns:
        Their cards by folder, in the order of the layers; those of other weights are left out.

    Raises:
        CardError: If a card is malformed.
    """
    if not (base_folder / "card.yaml").is_file():
        return {}
    weights = read(base_folder / "card.yaml", Card).weights
    cards = {path.parent: read(path, DictionaryCard) for path in base_folder.parent.glob(f"*/{FILE}")}
    own = [(folder, card) for folder, card in cards.items() if weights and card.base_sha256 == weights.sha256]
    return dict(sorted(own, key=lambda pair: (pair[1].layer, pair[0])))
