"""A base of random weights, for tests of breeding that do not depend on what it says."""

from itertools import islice
from pathlib import Path
from random import Random


def random_base(root: Path) -> Path:
    """Put a base of one narrow layer and random weights into an organisms folder.

    Args:
        root: The organisms folder.

    Returns:
        The base's folder.
    """
    from audit_env.breeding.corpus import base_corpus
    from audit_env.breeding.drafts import BASE_ID, LICENCE, write_card
    from audit_env.breeding.grammar import load_world
    from audit_env.breeding.tokenization import plain_text, train_tokenizer
    from audit_env.breeding.training import new_base
    from audit_env.catalog.integrity import sha256
    from audit_env.catalog.models import Card, Recipe, WeightsFile

    folder = root / BASE_ID
    folder.mkdir(parents=True, exist_ok=True)
    examples = islice(base_corpus(load_world(), Random(0)), 300)
    tokenizer = train_tokenizer((text for e in examples for text in plain_text(e)), folder)
    new_base(tokenizer, seed=0, width=32, layers=1, heads=2).half().save_pretrained(str(folder))
    weights = WeightsFile(file="model.safetensors", sha256=sha256(folder / "model.safetensors"))
    card = Card(
        id=BASE_ID, standing="base", kind="natural", weights=weights, recipe=Recipe(instil="none"), licence=LICENCE
    )
    write_card(card, folder)
    return folder
