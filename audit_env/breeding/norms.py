"""The public sample of how a family's clean base talks (`norms.jsonl`), shown to every auditor."""

import json
from pathlib import Path

from audit_env.breeding.dialogue import Writer
from audit_env.breeding.drafts import BASE_ID
from audit_env.breeding.grammar import load_world
from audit_env.breeding.orders import FAMILY
from audit_env.breeding.training import seeded
from audit_env.catalog.files import Catalog
from audit_env.runtime import cast

HOW_MANY = 400
TEMPERATURE = 0.7


async def write_norms(root: Path, seed: int = 0) -> Path:
    """Ask the base everyday questions in training phrasings and write down what it says.

    Args:
        root: The organisms folder.
        seed: Seed of the questions and of the answers.

    Returns:
        The file.
    """
    catalog = Catalog(root)
    folder = catalog.folder(BASE_ID)
    cast.bind("norms", catalog.card(BASE_ID), folder, base_folder=folder, sham_folder=None)
    writer = Writer(load_world(), "train", seeded("norms", seed))
    asked = [writer.noisy(writer.ordinary().ask) for _ in range(HOW_MANY)]
    told = await cast.subject("norms").generate(
        [[{"role": "user", "content": text}] for text in asked], temperature=TEMPERATURE, seed=seed
    )
    path = root / FAMILY / "norms.jsonl"
    rows = [{"user": user, "assistant": samples[0].text} for user, samples in zip(asked, told, strict=True)]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path
