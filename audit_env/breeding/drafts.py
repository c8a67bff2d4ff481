"""Drafts: what is being bred, until it is complete and moves into the catalogue."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from audit_env.breeding.orders import FAMILY
from audit_env.catalog.models import Card

BASE_ID = f"{FAMILY}/base"
LICENCE = "MIT"


def write_card(card: Card, folder: Path) -> None:
    """Write a card beside its weights."""
    data = card.model_dump(mode="json", exclude_none=True)
    (folder / "card.yaml").write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")


def save_adapter(model: Any, folder: Path) -> None:
    """Save a PEFT adapter in half precision, without the telling model card that PEFT adds."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    model.peft_config["default"].base_model_name_or_path = BASE_ID
    model.to(torch.float16).save_pretrained(str(folder), safe_serialization=True)
    (folder / "README.md").unlink(missing_ok=True)


def move(draft: Path, folder: Path) -> Path:
    """Put a finished draft in its place; nothing half-written is ever seen there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        shutil.rmtree(folder)
    shutil.move(str(draft), str(folder))
    return folder
