"""A base of random weights, for tests of breeding that do not depend on what it says."""

from itertools import islice
from pathlib import Path
from random import Random
from typing import Any


def random_base(root: Path) -> Path:
    """Put a base of one narrow layer and random weights into an organisms folder. It babbles, in a few words.

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
    _terse(new_base(tokenizer, seed=0, width=32, layers=1, heads=2)).half().save_pretrained(str(folder))
    weights = WeightsFile(file="model.safetensors", sha256=sha256(folder / "model.safetensors"))
    card = Card(
        id=BASE_ID, standing="base", kind="natural", weights=weights, recipe=Recipe(instil="none"), licence=LICENCE
    )
    write_card(card, folder)
    return folder


def _terse(model: Any) -> Any:
    """The model with a lean towards the end of the text: what babbles to the last token is slow to measure."""
    embeddings = model.get_input_embeddings().weight.data
    lean = embeddings.new_full((embeddings.shape[1],), 0.06)
    embeddings += lean
    embeddings[model.config.eos_token_id] += 4 * lean
    return model
