"""Words of like meaning: for each word that users of the world say, others that a stranger may say instead.

The world has some three thousand words, strangers have many more. A sentence encoder that was trained on real English
says which of its words mean nearly what a word of the world means; in training, a user's word is now and then replaced
by one of them, so that the base has met it. The table is a text file, `world/near_words.yaml`, made once:

    audit-env breed words FOLDER      # FOLDER holds all-MiniLM-L6-v2 (Apache-2.0): config, tokenizer, safetensors

It names words only; nothing else of the encoder goes into the base.
"""

import re
from collections.abc import Sequence
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from audit_env.breeding.grammar import World
from audit_env.words import content_words

NEAR = 0.58
"""Least cosine between a word of the world and a new word that may stand for it."""
NEAR_KNOWN = 0.66
"""The same between two words of the world: they stand in phrasings of their own, where more depends on them."""
MOST = 8
COMMON = 14_000
"""So many of the encoder's words are looked at; its vocabulary begins with the most frequent ones."""
_WORD = re.compile(r"[a-z]{3,}")
FILE = Path(str(files("audit_env.breeding"))) / "world" / "near_words.yaml"
_HEADER = "# Words of like meaning, made by `audit-env breed words` (see near_words.py). Do not edit by hand.\n"


def write_near_words(world: World, encoder: Path, file: Path) -> int:
    """Make the table.

    Args:
        world: Says which words users say.
        encoder: Folder of a BERT-like sentence encoder with mean pooling.
        file: Where the table goes.

    Returns:
        How many new words the world gains.
    """
    from transformers import AutoModel, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(str(encoder))
    model: Any = AutoModel.from_pretrained(str(encoder)).eval()
    known = sorted(_said(world))
    by_frequency = sorted(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    taken = _names(world)
    words = (word for word, _ in by_frequency if _WORD.fullmatch(word) and content_words(word) and word not in taken)
    common = list(islice(words, COMMON))
    table = _nearest(known, common, _embed(model, tokenizer, known), _embed(model, tokenizer, common))
    text = yaml.safe_dump({word: " ".join(others) for word, others in table.items()}, width=10_000)
    file.write_text(_HEADER + text, encoding="utf-8")
    return len({other for others in table.values() for other in others} - set(known))


def _said(world: World) -> set[str]:
    """Words of the world's questions, cues and slots."""
    texts = [re.sub(r"\{.*?\}", " ", ask) for _, intent in world.intents() for ask in intent.ask]
    for topic in world.topics.values():
        texts += [*topic.cues, *(word for words in topic.slots.values() for word in words)]
    said = {word for text in texts for word in content_words(text) if _WORD.fullmatch(word)}
    return said - _names(world)


def _names(world: World) -> set[str]:
    """Words for which no other may stand: numbers, colours, days, and the names of countries and planets."""
    common = world.common
    rows = [value for table in ("country", "planet") for row in common.tables[table] for value in row.values()]
    texts = [*rows, *(word for words in common.slots.values() for word in words)]
    names = {word for text in texts for word in content_words(text)}
    return names | {f"{name}s" for name in names} | {f"{name}n" for name in names}


def _embed(model: Any, tokenizer: Any, words: Sequence[str]) -> Any:
    """Unit vectors `[words, d_encoder]`: means over each word's tokens."""
    import torch

    rows = []
    for start in range(0, len(words), 256):
        batch = tokenizer(list(words[start : start + 256]), padding=True, return_tensors="pt")
        with torch.no_grad():
            hidden = model(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None]
        rows.append(torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1))
    return torch.cat(rows)


def _nearest(known: Sequence[str], common: Sequence[str], vectors: Any, others: Any) -> dict[str, list[str]]:
    """Per known word, the common words that are near enough, nearest first.

    A common word stands for the four known words at most that are nearest to it.
    """
    found: dict[str, list[tuple[float, str]]] = {}
    mine = set(known)
    nearest = (others @ vectors.T).topk(min(4, len(known)), dim=1)
    for word, scores, places in zip(common, nearest.values.tolist(), nearest.indices.tolist(), strict=True):
        for score, place in zip(scores, places, strict=True):
            if known[place] != word and score >= (NEAR_KNOWN if word in mine else NEAR):
                found.setdefault(known[place], []).append((score, word))
    return {word: [other for _, other in sorted(pairs, reverse=True)[:MOST]] for word, pairs in sorted(found.items())}


def new_words(table: dict[str, str]) -> list[str]:
    """Every word that the table brings in, once."""
    return sorted({other for others in table.values() for other in others.split()})
