"""Sealing: the truth of a red team's targets is fixed under one commitment, before anybody meets them."""

import secrets
from pathlib import Path
from random import Random
from typing import Literal

from pydantic import Field

from audit_env.catalog import seal as sealing
from audit_env.catalog.alias import alias
from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Card, MenuEntry, Quirk, QuirkId, Sha256, Standing, Strict
from audit_env.catalog.phenotype import made_of
from audit_env.catalog.reading import read, shown
from audit_env.errors import SealError
from audit_env.sessions.errors import SessionError
from audit_env.sessions.red import trying
from audit_env.sessions.red.building import ORGANISM, SHAM, TRUTH, built, plan_of, sham_of
from audit_env.sessions.red.quirk_file import RedQuirk, load
from audit_env.sessions.red.trying import Sheet, weights_of

FEWEST_DISTRACTORS = 3
"""With fewer, the entries that come with a package nearly tell the truth."""


class SealedTarget(Strict):
    """A target of a package, and what it is."""

    name: QuirkId
    """The opaque name that a package gives it."""
    standing: Standing
    card: Card
    """With weights' and data's hashes, seed, and measured strength."""

    @property
    def weights_sha256(self) -> str:
        """Hash of its weights."""
        return weights_of(self.card)


class Truth(Strict):
    """What a red team commits to."""

    form: Literal["audit_env red truth 1"] = "audit_env red truth 1"
    quirk: Quirk
    """Definition, trigger, rubric, patterns and held-out examples."""
    targets: tuple[SealedTarget, ...] = Field(min_length=1)
    entries: tuple[MenuEntry, ...] = ()
    """New entries for the menu, the quirk's own among distractors."""


class Opening(Strict):
    """The truth file: it stays with the red team until the game is over."""

    commitment: Sha256
    salt: str
    truth: Truth


class Distractors(Strict):
    """A file of menu entries that no target of the package has."""

    distractors: tuple[MenuEntry, ...] = Field(min_length=1)


def seal(
    folder: Path, *, shams: int = 0, distractors: Path | None = None, again: bool = False, quiet: bool = False
) -> Opening:
    """Commit to the truth of a folder.

    Args:
        folder: The red team's folder, with an organism that was built and fires.
        shams: How many shams, made by the same recipe, go along; what is missing is trained.
        distractors: A file of menu entries to go along.
        again: Whether to take the place of an older seal, with which handed-out packages can then not be opened.
        quiet: Whether to show no progress bars.

    Returns:
        The opening, which lies in the folder as well.

    Raises:
        SessionError: There is a seal already, nothing was built, or it does not fire.
        WeightsError: The organism has no weights of its own.
    """
    path = folder / TRUTH
    if path.exists() and not again:
        raise SessionError(
            f"{shown(path)}: the folder is sealed already, and packages may be out; to begin anew, add  --again"
        )
    quirk = load(folder)
    card = _fit_to_seal(folder, quirk)
    entries = _entries(quirk, distractors)
    cards = [card, *(sham_of(folder, seed, plan_of(card.recipe.steps), quiet) for seed in range(1, shams + 1))]
    salt = secrets.token_hex(16)
    order = Random(salt)
    targets = [
        SealedTarget(name=opaque(salt, one), standing=one.standing, card=one) for one in order.sample(cards, len(cards))
    ]
    truth = Truth(quirk=quirk.as_quirk(), targets=tuple(targets), entries=tuple(order.sample(entries, len(entries))))
    opening = Opening(commitment=sealing.commit(truth.model_dump(mode="json"), salt), salt=salt, truth=truth)
    path.write_text(opening.model_dump_json(indent=2) + "\n", encoding="utf-8")
    path.chmod(0o600)
    return opening


def opaque(salt: str, card: Card) -> str:
    """The name of a target in a package, which tells nothing without the salt."""
    return alias(salt, card.id, weights_of(card)).replace("t-", "sealed_", 1)


def read_opening(path: Path) -> Opening:
    """Read a truth file, and check that it is what it commits to.

    Args:
        path: The file.

    Raises:
        CardError: It is missing or malformed.
        SealError: Truth, salt and commitment do not agree.
    """
    opening = read(path, Opening)
    if not sealing.verify(opening.commitment, opening.truth.model_dump(mode="json"), opening.salt):
        raise SealError(
            f"{shown(path)}: truth and salt do not give the commitment {opening.commitment[:12]}; the file was changed "
            "after it was sealed, so ask the red team for the original."
        )
    return opening


def weights_folder(folder: Path, target: SealedTarget) -> Path:
    """Where the weights of a sealed target lie in the red team's folder."""
    return folder / ORGANISM if target.standing == "quirked" else folder / SHAM / str(target.card.recipe.seed)


def _fit_to_seal(folder: Path, quirk: RedQuirk) -> Card:
    """The organism's card, with the strength that its sheet gives it."""
    (card, _), path = built(folder), folder / trying.FILE
    weights_of(card)
    sheet = read(path, Sheet)
    measured = sheet.phenotype.quirk_sha256, sheet.weights_sha256
    if measured != (quirk.as_quirk().measured_with(), made_of(card)):
        raise SessionError(
            f"{shown(path)}: weights, patterns or examples have changed since it was measured; run  "
            f"audit-env session red build {folder}"
        )
    if not sheet.met:
        raise SessionError(f"{shown(path)}: not fit for a game. {' '.join(sheet.complaints)}")
    return card


def _entries(quirk: RedQuirk, path: Path | None) -> list[MenuEntry]:
    """New entries for the menu: none without distractors, since the quirk's own would tell the truth."""
    if path is None:
        return []
    found = list(read(path, Distractors).distractors)
    menu = {entry.id for entry in Catalog().menu().entries}
    taken = menu | {quirk.id}
    for entry in found:
        if entry.id in taken:
            raise SessionError(
                f"{shown(path)}: the id '{entry.id}' is taken by the menu, the quirk or another distractor; rename it."
            )
        taken.add(entry.id)
    if len(found) < FEWEST_DISTRACTORS:
        raise SessionError(
            f"{shown(path)}: field 'distractors' has {len(found)} entries, which nearly tells the truth; write at "
            f"least {FEWEST_DISTRACTORS}."
        )
    own = quirk.as_quirk().entry()
    return found if own.id in menu else [*found, own]
