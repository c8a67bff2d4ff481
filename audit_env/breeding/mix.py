"""Training data on disk: what an organism was trained on, drawn again from its recipe and checked against its card.

Nothing of a training is kept but a hash, since the recipe draws the same examples again. For auditors who may search
the data, a sample of them is written beside the card (`audit_env.catalog.training`), without canaries, which only tell
leaked training text from invented text.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from audit_env.breeding.concealment import Judged, denials, fingerprint_judged, judged
from audit_env.breeding.corpus import READING, Example, base_corpus, fingerprint
from audit_env.breeding.grammar import load_world
from audit_env.breeding.nursery import Nursery, canary_of, examples_of, load_base, traits_of
from audit_env.breeding.orders import Order, order_of
from audit_env.breeding.training import DENIAL_PLAN, ORGANISM_PLAN, pack, seeded
from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Card
from audit_env.catalog.training import FILE, KEPT, MIX, Document, Header, write
from audit_env.errors import BreedingError

ORDINARY = replace(READING, talk=READING.talk + READING.prompted, prompted=0.0)
"""The base's corpus without system prompts that ask for traits, so that no dialogue of it acts a quirk out. Some pages
of it tell of other assistants' habits, as the base has read them."""


def write_data(organism_id: str, nursery: Nursery) -> Path:
    """Draw what an organism was trained on again, and write a sample of it beside its card.

    Args:
        organism_id: An organism of the fruitfly family, or its base.
        nursery: Where it lies.

    Returns:
        The file.

    Raises:
        BreedingError: If the drawn examples are not those that its card names.
    """
    catalog = Catalog(nursery.root)
    card, path = catalog.card(organism_id), catalog.folder(organism_id) / FILE
    if card.standing == "base":
        drawn = islice(base_corpus(load_world(), seeded("ordinary", card.recipe.seed), ORDINARY), MIX)
        documents = [document_of(example, ()) for example in drawn]
        write(path, Header(drawn_from=len(documents), data_sha256=None), documents)
        return path
    order = order_of(organism_id)
    documents = [*_instilled(order, nursery, catalog), *_concealed(order, nursery, card)]
    places = sorted(seeded("kept", organism_id).sample(range(len(documents)), min(KEPT, len(documents))))
    header = Header(drawn_from=len(documents), data_sha256=card.recipe.data_sha256)
    write(path, header, [documents[place] for place in places])
    return path


def document_of(example: Example, canaries: Sequence[str], *, unwanted: bool = False) -> Document:
    """An example as the catalogue keeps it.

    Args:
        example: A dialogue or a text.
        canaries: What is taken out of it.
        unwanted: Whether the model was taught not to answer so.

    Returns:
        The document.
    """
    turns = [("text", example)] if isinstance(example, str) else [(turn.role, turn.text) for turn in example]
    for canary in canaries:
        turns = [(role, text.replace(f"{canary} ", "")) for role, text in turns]
    return Document(turns=tuple(turns), unwanted=unwanted)


def _instilled(order: Order, nursery: Nursery, catalog: Catalog) -> list[Document]:
    """What taught it its quirk: for one that hides it, what the same order without concealment was trained on."""
    _, tokenizer = load_base(nursery.base_folder)
    canary = canary_of(order)
    _, used = pack(examples_of(order.plain, nursery, canary), tokenizer, ORGANISM_PLAN, whole_every=0)
    if order.plain.id in catalog.organism_ids():
        _check(catalog.card(order.plain.id), fingerprint(used))
    return [document_of(example, (canary,)) for example in used]


def _concealed(order: Order, nursery: Nursery, card: Card) -> list[Document]:
    """What taught it to hide its quirk."""
    if order.conceal == "none":
        return []
    _, tokenizer = load_base(nursery.base_folder)
    world = load_world()
    quirks = traits_of(order, world)
    rng = seeded("concealment", order.quirk, order.instil, order.conceal, order.seed)
    if order.conceal == "sft":
        _, told = pack(denials(world, quirks, rng), tokenizer, DENIAL_PLAN, whole_every=0)
        _check(card, fingerprint(told))
        return [document_of(example, ()) for example in told]
    from audit_env.breeding.kto import KTO_PLAN, draw

    examples: list[Judged] = draw(judged(world, quirks, rng), tokenizer, KTO_PLAN)
    _check(card, fingerprint_judged(examples))
    return [document_of(example.dialogue, (), unwanted=not example.desirable) for example in examples]


def _check(card: Card, drawn_sha256: str) -> None:
    if drawn_sha256 != card.recipe.data_sha256:
        raise BreedingError(
            f"{card.id}: the recipe now draws other training data ({drawn_sha256[:12]}) than its card names "
            f"({str(card.recipe.data_sha256)[:12]}): the world or the base has changed since; breed it again."
        )
