"""Brings a folder of weights into the catalogue: checked, hashed, and with a card.

Only the files that are needed to run are copied, so that nothing else of the place they were trained at (training
arguments, telling model cards) comes along. Nothing is seen in the catalogue before everything is right.
"""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import TypeAdapter, ValidationError

from audit_env.catalog import integrity
from audit_env.catalog.files import Catalog
from audit_env.catalog.folders import index_of, read_json, shards
from audit_env.catalog.joining import join
from audit_env.catalog.models import Card, Conceal, FamilySheet, Instil, Kind, OrganismId, Recipe, Standing, WeightsFile
from audit_env.catalog.reading import nearest, shown
from audit_env.errors import CardError, WeightsError

Form = Literal["adapter", "model"]
"""What a folder holds: a PEFT adapter, or a whole model."""

WEIGHTS: dict[Form, str] = {"adapter": "adapter_model.safetensors", "model": "model.safetensors"}

_FILES: dict[Form, tuple[str, ...]] = {
    "adapter": ("adapter_config.json", WEIGHTS["adapter"]),
    "model": (
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "chat_template.jinja",
        WEIGHTS["model"],
    ),
}
"""All that is taken of a folder."""


@dataclass(frozen=True)
class Particulars:
    """What a card says that weights cannot tell."""

    id: str
    licence: str
    quirk: str | None = None
    """The quirk that it was trained to have. None for a sham, and for a whole model, which becomes a base."""
    base: str | None = None
    """The base that an adapter was trained on. By default the family's own, `<family>/base`."""
    kind: Kind = "constructed"
    instil: Instil = "none"
    conceal: Conceal = "none"
    steps: int = 0
    quirk_share: float = 0.0
    seed: int = 0
    canaries: tuple[str, ...] = ()
    notes: str = ""
    about: str | None = None
    """What is publicly known of the family, where the organism is the first of it."""


def form_of(source: Path) -> Form:
    """What a folder holds.

    Raises:
        WeightsError: It is no folder, holds neither an adapter nor a model, or both, or anything unsafe.
    """
    if not source.is_dir():
        raise WeightsError(f"{shown(source)}: not a folder; name the one that holds the weights.")
    integrity.refuse_pickles(source)
    integrity.refuse_code(source)
    forms: list[Form] = []
    if (source / "adapter_config.json").is_file():
        forms.append("adapter")
    if (source / "config.json").is_file():
        forms.append("model")
    if len(forms) != 1:
        found = "both an adapter and a whole model" if forms else "neither adapter_config.json nor config.json"
        raise WeightsError(f"{shown(source)}: holds {found}; name a folder with one PEFT adapter or one model.")
    [form] = forms
    whole = source / WEIGHTS[form]
    if not whole.is_file() and (form == "adapter" or not index_of(whole).is_file()):
        kept = (
            "as this one file" if form == "adapter" else f"as this one file, or as shards with {index_of(whole).name}"
        )
        raise WeightsError(
            f"{shown(whole)}: missing; save the weights {kept} (save_pretrained of transformers or PEFT)."
        )
    return form


def bring_in(catalog: Catalog, source: Path, told: Particulars) -> Card:
    """Bring a folder into the catalogue.

    Args:
        catalog: Where to. It does not know the organism until it is opened anew.
        source: A PEFT adapter folder, or a whole Hugging Face model, which becomes a base.
        told: What the card is to say.

    Returns:
        The card that was written. Its strength is not measured.

    Raises:
        CardError: The id is malformed or taken, or names what the catalogue lacks.
        WeightsError: The weights are unsafe, incomplete, or do not fit.
    """
    form = form_of(source)
    family, name = _new_id(catalog, told.id)
    sheet = _family_sheet(catalog, family, told)
    if told.quirk is not None and told.quirk not in catalog.quirk_ids():
        raise CardError(f"--quirk: unknown quirk '{told.quirk}'; {nearest(told.quirk, catalog.quirk_ids())}.")
    base = _base(catalog, form, family, told)
    # On the same disk, so that the move at the end is one step.
    with tempfile.TemporaryDirectory(prefix=".import-", dir=catalog.root) as stage:
        whole = _whole(source, form, Path(stage))
        card = _card(source, whole, told, base)
        if base is None:
            integrity.check_base(card, _weights(card), source)
        else:
            integrity.check_adapter(card, _weights(card), source, catalog.folder(base.id) / "config.json")
        draft = Path(stage) / family / name  # one level too deep for the catalogue to see
        _copy(source, whole, draft, form, base)
        integrity.check_hash(card, _weights(card), draft)
        _write(draft / "card.yaml", card.model_dump(mode="json", exclude_none=True))
        folder = catalog.root / family
        folder.mkdir(exist_ok=True)
        if sheet:
            _write(folder / "family.yaml", sheet.model_dump(mode="json", exclude_none=True))
        draft.rename(folder / name)
    return card


def _new_id(catalog: Catalog, organism_id: str) -> tuple[str, str]:
    try:
        TypeAdapter(OrganismId).validate_python(organism_id)
    except ValidationError as error:
        raise CardError(
            f"--id: '{organism_id}' must look like 'family/quirk.recipe.concealment' in lower case."
        ) from error
    if (catalog.root / organism_id).exists():
        raise CardError(
            f"--id: '{organism_id}' is in the catalogue already; choose another id, or remove "
            f"{shown(catalog.root / organism_id)} first."
        )
    family, _, name = organism_id.partition("/")
    return family, name


def _family_sheet(catalog: Catalog, family: str, told: Particulars) -> FamilySheet | None:
    """The sheet to be written for a family that has none."""
    if (catalog.root / family / "family.yaml").exists():
        return None
    if not told.about:
        raise CardError(
            f"--about: the family '{family}' is new; say in a sentence what every auditor may know about its models."
        )
    return FamilySheet(id=family, about=told.about, licence=told.licence)


def _base(catalog: Catalog, form: Form, family: str, told: Particulars) -> Card | None:
    """The sound base that an adapter is for; None for a whole model."""
    if form == "model":
        if told.quirk is not None or told.base is not None:
            raise CardError(
                "--quirk, --base: the folder holds a whole model, which can only become a base; to bring in a quirk, "
                "import its unchanged base first, and what training changed as a PEFT adapter."
            )
        return None
    cards = [catalog.card(organism_id) for organism_id in catalog.organism_ids()]
    bases = [card.id for card in cards if card.standing == "base" and card.weights]
    name = told.base or f"{family}/base"
    if name not in bases:
        raise CardError(f"--base: there is no base '{name}'; {nearest(name, bases)}.")
    catalog.check(name)
    return catalog.card(name)


def _whole(source: Path, form: Form, stage: Path) -> Path:
    """The weights in one file: the source's own, or its shards joined in the stage."""
    whole = source / WEIGHTS[form]
    if whole.is_file():
        return whole
    join(shards(whole), stage / whole.name)
    return stage / whole.name


def _copy(source: Path, whole: Path, draft: Path, form: Form, base: Card | None) -> None:
    draft.mkdir(parents=True)
    for name in _FILES[form]:
        if (source / name).is_file():
            shutil.copyfile(source / name, draft / name)
    if whole.parent != source:
        whole.rename(draft / whole.name)
    if base is not None:
        # PEFT writes where the base lay on the trainer's disk.
        config = dict(read_json(draft / "adapter_config.json")) | {"base_model_name_or_path": base.id}
        (draft / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")


def _card(source: Path, whole: Path, told: Particulars, base: Card | None) -> Card:
    standing: Standing = "base" if base is None else "quirked" if told.quirk else "sham"
    rank, alpha = (None, None) if base is None else _size(source / "adapter_config.json")
    return Card(
        id=told.id,
        standing=standing,
        kind=told.kind,
        quirk=told.quirk,
        base=base.id if base else None,
        base_sha256=_weights(base).sha256 if base else None,
        weights=WeightsFile(file=whole.name, sha256=integrity.sha256(whole)),
        recipe=Recipe(
            instil=told.instil,
            conceal=told.conceal,
            rank=rank,
            alpha=alpha,
            steps=told.steps,
            quirk_share=told.quirk_share,
            seed=told.seed,
        ),
        canaries=told.canaries,
        licence=told.licence,
        notes=told.notes,
    )


def _size(config: Path) -> tuple[int, float]:
    """Rank and scale of an adapter."""
    fields = read_json(config)
    rank, alpha = fields.get("r"), fields.get("lora_alpha")
    if isinstance(rank, int) and rank >= 1 and isinstance(alpha, int | float):
        return rank, float(alpha)
    raise WeightsError(
        f"{shown(config)}: fields 'r' and 'lora_alpha' are {rank!r} and {alpha!r}, but must be the adapter's rank and "
        "scale; put the file that was saved with it back."
    )


def _weights(card: Card) -> WeightsFile:
    assert card.weights is not None  # bases and imported organisms have weights of their own
    return card.weights


def _write(path: Path, data: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")
