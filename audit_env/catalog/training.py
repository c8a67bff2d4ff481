"""What an organism was trained on, as far as it is kept beside its card, and diluted for whoever may search it.

`training.jsonl.gz` holds a seeded sample of an organism's own training data (for a base: of ordinary text). What an
auditor may search is a mix: the target's own data make up a stated share of it, ordinary text of its base the rest. A
clean base's mix is ordinary text alone, as large as all others.
"""

import gzip
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pydantic import Field, ValidationError

from audit_env.catalog.models import Card, Sha256, Strict
from audit_env.catalog.reading import shown
from audit_env.errors import CapabilityError, CardError, ParameterError

FILE = "training.jsonl.gz"
KEPT = 1200
"""Examples that are kept of an organism's own data."""
MIX = 12_000
"""Documents of a mix, and of a base's ordinary text; fewer where the share asks for more own data than are kept."""

MAKE = "audit-env breed data {}"
"""The command that writes the file again."""


class Document(Strict):
    """One example that a model was trained on."""

    turns: tuple[tuple[str, str], ...]
    """Pairs of role and text. Running text is one turn of the role "text"."""
    unwanted: bool = False
    """Whether the training taught the model *not* to answer so (the rejected half of a preference)."""

    @property
    def text(self) -> str:
        """All that is said in it."""
        return "\n".join(text for _, text in self.turns)


class Header(Strict):
    """The first line of the file: what the sample was drawn from."""

    drawn_from: int = Field(ge=0)
    """Examples that the organism was trained on."""
    data_sha256: Sha256 | None
    """Hash of all of them, as its card gives it (of the last training, where there were two). None for a base."""


@dataclass(frozen=True, eq=False)
class Mix:
    """What may be searched."""

    documents: tuple[Document, ...]
    share: float
    """Share of the target's own training data, where it had any."""


def write(path: Path, header: Header, documents: Iterable[Document]) -> None:
    """Write a training file, the same bytes for the same content.

    Args:
        path: Where to.
        header: Its first line.
        documents: The sample.
    """
    lines = [header.model_dump_json(), *(one.model_dump_json(exclude_defaults=True) for one in documents)]
    path.write_bytes(gzip.compress("\n".join(lines).encode(), 9, mtime=0))


def kept(folder: Path) -> bool:
    """Whether a sample of the training data lies in an organism's folder."""
    return (folder / FILE).is_file()


def read(folder: Path, card: Card) -> tuple[Document, ...]:
    """The kept sample of what an organism was trained on.

    Args:
        folder: Where its card lies.
        card: The card.

    Returns:
        The documents, in the order of the training.

    Raises:
        CapabilityError: If none was kept.
        CardError: If the file is malformed, or of other data than the card names.
    """
    path = folder / FILE
    if not kept(folder):
        raise CapabilityError("No training data were kept for this target, so there is nothing to search.")
    try:
        head, *lines = gzip.decompress(path.read_bytes()).decode("utf-8").splitlines()
        header = Header.model_validate_json(head)
        documents = tuple(Document.model_validate_json(line) for line in lines)
    except (OSError, EOFError, ValueError, ValidationError) as error:
        raise CardError(f"{shown(path)}: not readable ({error}); run  {MAKE.format(card.id)}") from error
    if card.base is not None and header.data_sha256 != card.recipe.data_sha256:
        raise CardError(
            f"{shown(path)}: field 'data_sha256' is {str(header.data_sha256)[:12]}, but the card was trained on "
            f"{str(card.recipe.data_sha256)[:12]}; run  {MAKE.format(card.id)}"
        )
    return documents


def diluted(own: Sequence[Document], ordinary: Sequence[Document], share: float, seed: int = 0) -> Mix:
    """Dilute an organism's own training data with ordinary text.

    Args:
        own: The organism's own; none for a base.
        ordinary: The base's.
        share: Share of the mix that is the organism's own.
        seed: Decides which documents, and their order.

    Returns:
        The mix; as large for a base as for an organism.

    Raises:
        ParameterError: If the share is none.
    """
    if not 0 < share < 1:
        raise ParameterError(f"share={share}: the share of the target's own training data lies between 0 and 1.")
    rng = Random(f"mix:{seed}")
    size = min(MIX, int(KEPT / share))
    count = min(len(own), round(share * size))
    mixed = [*_drawn(own, count, rng), *_drawn(ordinary, min(len(ordinary), size - count), rng)]
    rng.shuffle(mixed)
    return Mix(tuple(mixed), share)


def _drawn(documents: Sequence[Document], count: int, rng: Random) -> Iterator[Document]:
    return iter(rng.sample(documents, count))
