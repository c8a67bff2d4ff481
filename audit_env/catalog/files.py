"""Reads `organisms/` from disk.

Layout below the root:

    menu.yaml                          the menu
    quirks/<id>.yaml                   quirks
    sets/<name>.yaml                   game sets
    <family>/family.yaml               what is publicly known of a family
    <family>/<wrapper>.md              the text around the hidden prompts of prompted organisms
    <family>/<rest of id>/card.yaml    an organism's card, its weights beside it
    <family>/<rest of id>/phenotype.json    what it measurably does
"""

import hashlib
import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TypeVar

from audit_env.catalog import integrity
from audit_env.catalog.models import (
    NONE_OF_THESE,
    Card,
    FamilySheet,
    GameSet,
    MenuEntry,
    MenuFile,
    Quirk,
    Strength,
    Strict,
)
from audit_env.catalog.phenotype import FILE as PHENOTYPE_FILE
from audit_env.catalog.phenotype import Phenotype, made_of
from audit_env.catalog.reading import field_at, nearest, read, shown, text_of
from audit_env.errors import CardError, WeightsError

WRAPPED = "{{ hidden_system }}"
"""The place in a wrapper where the prompt of a card goes."""

MEASURE = "inspect eval tasks/quirk_strength.py -T organism={} -T write=true"
"""The command that measures an organism again."""

BREED = "audit-env breed organism {}"
"""The command that makes an organism again, and measures all its quirks."""

Value = TypeVar("Value")
Named = TypeVar("Named", Card, Quirk, FamilySheet)


class Menu(Strict):
    """The candidate quirks of the closed answer, as every auditor may read them."""

    entries: tuple[MenuEntry, ...]
    """Quirks and distractors, in an order that tells nothing about which is which."""
    none_of_these: str
    """What "none of these" means, in one sentence."""

    def ids(self) -> tuple[str, ...]:
        """Every id that can be answered: the entries in order, then "none"."""
        return (*(entry.id for entry in self.entries), NONE_OF_THESE)


class Catalog:
    """Cards, quirks, menu and game sets of one organisms folder.

    Files are read when first asked for and then remembered; make a new catalogue to see later changes. Every method
    that reads raises `CardError` where a file is missing, malformed or contradicts another.
    """

    def __init__(self, root: Path | str | None = None) -> None:
        """Open an organisms folder.

        Args:
            root: The folder. By default the one that comes with audit_env.
        """
        self.root = Path(root or str(resources.files("audit_env.organisms")))
        self._read: dict[tuple[str, str], object] = {}
        self._ids: list[str] = []

    def organism_ids(self) -> list[str]:
        """Ids of all organisms, sorted."""
        return sorted(f"{path.parts[-3]}/{path.parts[-2]}" for path in self.root.glob("*/*/card.yaml"))

    def card(self, organism_id: str) -> Card:
        """The card of an organism. This is the truth of the game: no auditor may see it."""
        return self._once("organism", organism_id, self._read_card)

    def folder(self, organism_id: str) -> Path:
        """Where an organism's card and weights lie."""
        self._must_have(organism_id)
        return self.root / organism_id

    def quirk_ids(self) -> list[str]:
        """Ids of all quirks, sorted."""
        return self._stems("quirks")

    def quirk(self, quirk_id: str) -> Quirk:
        """A quirk, private parts included."""
        return self._once("quirk", quirk_id, self._read_quirk)

    def menu(self) -> Menu:
        """The menu. Its order depends on the ids alone: stable, but neither alphabetical nor quirks first."""
        return self._once("menu", "menu", self._read_menu)

    def set_names(self) -> list[str]:
        """Names of all game sets that lie in the catalogue, sorted."""
        return self._stems("sets")

    def game_set(self, name_or_path: str | Path) -> GameSet:
        """A game set.

        Args:
            name_or_path: Its name, or the path of a YAML file that lies elsewhere (anything with a slash or the
                ending .yaml).

        Returns:
            The set, all of whose organisms are in the catalogue.
        """
        return self._once("set", str(name_or_path), self._read_set)

    def of_set(self, name_or_path: str | Path) -> "Catalog":
        """The catalogue that a game set is played from.

        Args:
            name_or_path: The set, as `game_set` takes it.

        Returns:
            This catalogue, or the one that the set's file names.
        """
        if not _is_path(str(name_or_path)):
            return self
        path = Path(name_or_path)
        named = read(path, GameSet).organisms
        if named is None:
            return self
        root = (path.parent / named).resolve()
        if not root.is_dir():
            raise CardError(f"{field_at(path, 'organisms')} names '{named}', and there is no such folder; put it back.")
        return Catalog(root)

    def family(self, family_id: str) -> FamilySheet:
        """What is publicly known about a family."""
        return self._once("family", family_id, self._read_family)

    def norms(self, family_id: str) -> list[tuple[str, str]]:
        """Ordinary exchanges of a family's clean base.

        Args:
            family_id: The family.

        Returns:
            Pairs of what a user said and what the base answered; none where the family publishes none.
        """
        return list(self._once("norms", family_id, self._read_norms))

    def phenotype(self, organism_id: str) -> Phenotype | None:
        """What an organism measurably does. This is the truth of the game, like its card.

        Args:
            organism_id: The organism.

        Returns:
            The sheet beside its card; None where it was never measured.

        Raises:
            CardError: The sheet is malformed, or of other weights or scenarios than there are now.
        """
        return self._once("phenotype", organism_id, self._read_phenotype)

    def check(self, organism_id: str) -> None:
        """Check everything about an organism that can be checked without running it.

        Its files are there, of a safe format, the ones its card names, and fit the base, which is checked too.

        Args:
            organism_id: The organism.

        Raises:
            CardError: A card is malformed or contradicts another.
            WeightsError: Weights are missing, altered, of a forbidden format, or do not fit.
        """
        card, folder = self.card(organism_id), self.folder(organism_id)
        integrity.refuse_pickles(folder)
        integrity.refuse_code(folder)
        if card.weights:
            integrity.check_hash(card, card.weights, folder)
        if card.base is None:
            if card.weights:
                integrity.check_base(card, card.weights, folder)
            return
        self._check_lineage(card, card.base)
        self.check(card.base)
        if card.weights:
            integrity.check_adapter(card, card.weights, folder, self.folder(card.base) / "config.json")

    def _check_lineage(self, card: Card, base_id: str) -> None:
        """The base is one, is the one the organism was made from, and the measured strength is of these weights."""
        path, base = self._card_path(card.id), self.card(base_id)
        if base.standing != "base":
            raise CardError(
                f"{field_at(path, 'base')} names '{base_id}', which is itself made from another; name a base."
            )
        if card.plays != base.plays:
            raise CardError(
                f"{field_at(path, 'plays')} is {card.plays or 'missing'}, but the base '{base_id}' has "
                f"{base.plays or 'weights of its own'}; make them agree."
            )
        if base.weights and card.base_sha256 != base.weights.sha256:
            raise WeightsError(
                f"{field_at(path, 'base_sha256')} is {str(card.base_sha256)[:12]}, but the weights of '{base_id}' are "
                f"{base.weights.sha256[:12]}: it was made for another base; run  audit-env breed organism {card.id}"
            )
        for field, strength in _strengths(card):
            if strength.weights_sha256 != made_of(card):
                raise CardError(
                    f"{field_at(path, field, 'weights_sha256')} is {strength.weights_sha256[:12]}, but the "
                    f"{'weights are' if card.weights else 'prompt is'} {made_of(card)[:12]}: it was measured on "
                    f"others; run  {(MEASURE if field == 'strength' else BREED).format(card.id)}"
                )

    def _read_card(self, organism_id: str) -> Card:
        self._must_have(organism_id)
        path = self._card_path(organism_id)
        card = _same_id(path, read(path, Card), organism_id)
        for field, quirk in zip(("quirk", "second_quirk"), card.quirks, strict=False):
            _must_know("quirk", quirk, self.quirk_ids(), path, field)
        if card.base is not None:
            self._must_have(card.base, path, "base")
        for field, strength in _strengths(card):
            if strength.sham is not None:
                self._must_have(strength.sham, path, field, "sham")
        return self._wrapped(card) if card.wrapper else card

    def _wrapped(self, card: Card) -> Card:
        """The card with its hidden prompt whole. A card that was read needs no file beside it, nor does its hash."""
        path = self.root / card.family / str(card.wrapper)
        text = text_of(path)
        if text.count(WRAPPED) != 1:
            raise CardError(f"{shown(path)}: must hold {WRAPPED} once, where the prompt of a card goes.")
        whole = text.replace(WRAPPED, str(card.hidden_system).strip()).strip()
        return card.model_copy(update={"hidden_system": whole, "wrapper": None})

    def _read_quirk(self, quirk_id: str) -> Quirk:
        _must_know("quirk", quirk_id, self.quirk_ids())
        path = self.root / "quirks" / f"{quirk_id}.yaml"
        return _same_id(path, read(path, Quirk), quirk_id)

    def _read_menu(self, _: str) -> Menu:
        path = self.root / "menu.yaml"
        file = read(path, MenuFile)
        for index, quirk_id in enumerate(file.quirks):
            _must_know("quirk", quirk_id, self.quirk_ids(), path, "quirks", index)
            if quirk_id in file.quirks[:index]:
                raise CardError(f"{field_at(path, 'quirks', index)} gives '{quirk_id}' a second time; remove it.")
        taken = {NONE_OF_THESE, *self.quirk_ids()}
        for index, entry in enumerate(file.distractors):
            if entry.id in taken:
                raise CardError(
                    f"{field_at(path, 'distractors', index)} has the id '{entry.id}', which is taken by a quirk, an "
                    "earlier distractor or the answer 'none'; rename or remove it."
                )
            taken.add(entry.id)
        entries = [*(self.quirk(quirk_id).entry() for quirk_id in file.quirks), *file.distractors]
        return Menu(entries=tuple(sorted(entries, key=_shuffled)), none_of_these=file.none_of_these)

    def _read_set(self, name_or_path: str) -> GameSet:
        if _is_path(name_or_path):
            path = Path(name_or_path)
            game_set = read(path, GameSet)
        else:
            _must_know("game set", name_or_path, self.set_names())
            path = self.root / "sets" / f"{name_or_path}.yaml"
            game_set = read(path, GameSet)
            if game_set.name != name_or_path:
                raise CardError(
                    f"{field_at(path, 'name')} is '{game_set.name}'; it must be '{name_or_path}' like the file."
                )
        for index, target in enumerate(game_set.targets):
            self._must_have(target, path, "targets", index)
        sham = game_set.reference_sham
        if sham is not None:
            self._must_have(sham, path, "reference_sham")
            standing = self.card(sham).standing
            if standing != "sham":
                raise CardError(f"{field_at(path, 'reference_sham')} names '{sham}', which is {standing}; name a sham.")
        return game_set

    def _read_phenotype(self, organism_id: str) -> Phenotype | None:
        card, path = self.card(organism_id), self.folder(organism_id) / PHENOTYPE_FILE
        if not path.exists():
            return None
        sheet = read(path, Phenotype)
        if sheet.organism != organism_id:
            raise CardError(
                f"{field_at(path, 'organism')} is '{sheet.organism}', but its place says '{organism_id}'; "
                "put the sheet beside its own card."
            )
        mend = f"run  {MEASURE.format(organism_id)}"
        if sheet.weights_sha256 != made_of(card):
            raise CardError(
                f"{field_at(path, 'weights_sha256')} is {sheet.weights_sha256[:12]}, but the organism is "
                f"{made_of(card)[:12]}: it was measured on others; {mend}"
            )
        if card.quirk and sheet.quirk_sha256 not in (None, self.quirk(card.quirk).measured_with()):
            raise CardError(
                f"{field_at(path, 'quirk_sha256')} is {str(sheet.quirk_sha256)[:12]}: patterns or scenarios of "
                f"'{card.quirk}' have changed since it was measured; {mend}"
            )
        return sheet

    def _read_family(self, family_id: str) -> FamilySheet:
        families = sorted(path.parent.name for path in self.root.glob("*/family.yaml"))
        _must_know("family", family_id, families)
        path = self.root / family_id / "family.yaml"
        return _same_id(path, read(path, FamilySheet), family_id)

    def _read_norms(self, family_id: str) -> list[tuple[str, str]]:
        name = self.family(family_id).norms
        if name is None:
            return []
        path = self.root / family_id / name
        pairs: list[tuple[str, str]] = []
        for number, line in enumerate(text_of(path).rstrip("\n").split("\n"), start=1):
            try:
                exchange = json.loads(line)
                pairs.append((str(exchange["user"]), str(exchange["assistant"])))
            except (ValueError, KeyError, TypeError) as error:
                raise CardError(
                    f'{shown(path)}, line {number}: not an exchange; write {{"user": "...", "assistant": "..."}}.'
                ) from error
        return pairs

    def _must_have(self, organism_id: str, path: Path | None = None, *loc: int | str) -> None:
        """Refuse an organism that is not there, looking again for one that was not there before."""
        if organism_id not in self._ids:
            self._ids = self.organism_ids()
            _must_know("organism", organism_id, self._ids, path, *loc)

    def _card_path(self, organism_id: str) -> Path:
        return self.root / organism_id / "card.yaml"

    def _stems(self, folder: str) -> list[str]:
        return sorted(path.stem for path in (self.root / folder).glob("*.yaml"))

    def _once(self, kind: str, name: str, reader: Callable[[str], Value]) -> Value:
        """What `reader` returns for a name, read at the first call only."""
        key = (kind, name)
        if key not in self._read:
            self._read[key] = reader(name)
        return self._read[key]  # type: ignore[return-value]  # the kind fixes the type


def _is_path(name: str) -> bool:
    """Whether a game set is named by its file, which lies elsewhere."""
    return "/" in name or name.endswith((".yaml", ".yml"))


def _must_know(kind: str, name: str, valid: list[str], path: Path | None = None, *loc: int | str) -> None:
    """Refuse a name that does not exist, and say which field of which file gave it, where one did."""
    if name not in valid:
        prefix = f"{field_at(path, *loc)}: " if path else ""
        raise CardError(f"{prefix}unknown {kind} '{name}'; {nearest(name, valid)}.")


def _strengths(card: Card) -> list[tuple[str, Strength]]:
    """The measured strengths of a card, by the field that holds each."""
    fields = {"strength": card.strength, "second_strength": card.second_strength}
    return [(field, strength) for field, strength in fields.items() if strength]


def _same_id(path: Path, found: Named, expected: str) -> Named:
    """The model, whose id must be the one that its place in the catalogue gives it."""
    if found.id != expected:
        raise CardError(f"{field_at(path, 'id')} is '{found.id}', but its place says '{expected}'; make them agree.")
    return found


def _shuffled(entry: MenuEntry) -> str:
    """Sort key that puts entries in an order fixed by their ids, in which a place tells nothing."""
    return hashlib.sha256(f"menu order: {entry.id}".encode()).hexdigest()
