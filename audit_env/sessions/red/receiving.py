"""What the blue team does with a package: take its targets into a catalogue as they are, sealed, and play them.

A sealed target stands in the catalogue as a quirked one whose quirk is a stand-in that nothing measures. Whether it has
one at all, only its red team knows; until the truth is opened, the behaviour gate leaves every audit of it unscored.
"""

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from audit_env.catalog import integrity
from audit_env.catalog.files import Catalog
from audit_env.catalog.models import (
    Card,
    GameSet,
    MenuEntry,
    Patterns,
    PublicMenu,
    Quirk,
    Recipe,
    Rubric,
    Scenario,
    Scenarios,
    WeightsFile,
)
from audit_env.catalog.models import Message as Said
from audit_env.catalog.reading import nearest, shown
from audit_env.errors import WeightsError
from audit_env.sessions.errors import SessionError
from audit_env.sessions.red.adapters import CONFIG, WEIGHTS, refuse_notes, settings
from audit_env.sessions.red.checking import BASE_ID
from audit_env.sessions.red.package import Manifest, Package
from audit_env.sessions.red.trying import SHAM_ID

FAMILY = "fruitfly"
_NEVER = r"(?!)"
"""A pattern that nothing matches."""
_END = re.compile(r"^none_of_these:", re.MULTILINE)
"""What follows the distractors in a menu file."""


def organism_id(name: str) -> str:
    """The id under which a sealed target stands in a catalogue."""
    return f"{FAMILY}/{name}"


def seal_of(card: Card) -> str | None:
    """The commitment that a sealed target was handed out under; None for any other card."""
    found = re.fullmatch(r"sealed under ([0-9a-f]{64})", card.notes)
    return found[1] if found else None


def take(package: Package, root: Path) -> list[str]:
    """Take a package's targets, and its new menu entries, into a catalogue.

    Args:
        package: The package.
        root: The organisms folder.

    Returns:
        The targets' ids.

    Raises:
        SessionError: They are there already, or a new menu entry has the id of an old one.
        WeightsError: They were made on another base, or do not fit it.
    """
    catalog, manifest = Catalog(root), package.manifest
    base = catalog.card(BASE_ID)
    if base.weights is None or base.weights.sha256 != manifest.base_sha256:
        raise WeightsError(
            f"The package was made on the base {manifest.base_sha256[:12]}, and '{BASE_ID}' here is "
            f"{base.weights.sha256[:12] if base.weights else 'missing'}; take it with the release of audit_env that "
            "the red team used."
        )
    ids = [organism_id(target.name) for target in manifest.targets]
    if there := [one for one in ids if one in catalog.organism_ids()]:
        raise SessionError(
            f"'{there[0]}' is in {shown(root)} already; take it out first:  audit-env session red forget"
        )
    entries = _new_entries(catalog, manifest)
    with tempfile.TemporaryDirectory(prefix=".sealed-", dir=root) as stage:
        for target in manifest.targets:
            draft = Path(stage) / target.name
            _write_target(draft, target.name, package)
            card = _card(target.name, manifest)
            assert card.weights is not None, "it was just given some"
            refuse_notes(draft / WEIGHTS)
            integrity.check_adapter(card, card.weights, draft, catalog.folder(BASE_ID) / "config.json")
        for target in manifest.targets:
            _dump(root / "quirks" / f"{target.name}.yaml", _stand_in(target.name, manifest.commitment))
            (Path(stage) / target.name).rename(root / FAMILY / target.name)
    if entries:
        menu = root / "menu.yaml"
        menu.write_text(_with_entries(menu.read_text(encoding="utf-8"), manifest, entries), encoding="utf-8")
    return ids


def forget(manifest: Manifest, root: Path) -> None:
    """Take a package's targets and entries out of a catalogue again.

    Args:
        manifest: The package's.
        root: The organisms folder.
    """
    for target in manifest.targets:
        shutil.rmtree(root / FAMILY / target.name, ignore_errors=True)
        (root / "quirks" / f"{target.name}.yaml").unlink(missing_ok=True)
    menu = root / "menu.yaml"
    begin, end = _marks(manifest)
    text = menu.read_text(encoding="utf-8")
    menu.write_text(re.sub(rf"{re.escape(begin)}.*?{re.escape(end)}", "", text, flags=re.DOTALL), encoding="utf-8")


def write_set(path: Path, targets: Sequence[str], beside: Sequence[str], root: Path) -> GameSet:
    """Write a game set with sealed targets and others.

    Args:
        path: The set's file.
        targets: Ids of the sealed targets.
        beside: Ids of other organisms, or names of sets, whose targets are played as well.
        root: The organisms folder.

    Returns:
        The set.

    Raises:
        SessionError: A name is neither, or the file is there already.
    """
    if path.suffix not in (".yaml", ".yml"):
        raise SessionError(f"{shown(path)}: a game set is a YAML file; end its name with .yaml")
    if path.exists():
        raise SessionError(f"{shown(path)}: there is such a file already; choose another name.")
    catalog = Catalog(root)
    others = [one for name in beside for one in _meant(catalog, name)]
    game_set = GameSet(
        name=path.stem,
        description="Targets of a red team, sealed, and others.",
        targets=tuple(dict.fromkeys((*targets, *(one for one in others if one != SHAM_ID)))),
        reference_sham=SHAM_ID,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    _dump(path, game_set)
    return game_set


def _meant(catalog: Catalog, name: str) -> Sequence[str]:
    if name in catalog.set_names():
        return catalog.game_set(name).targets
    if name in catalog.organism_ids():
        return [name]
    known = [*catalog.set_names(), *catalog.organism_ids()]
    raise SessionError(f"--with: there is no organism and no set '{name}'; {nearest(name, known)}.")


def _write_target(draft: Path, name: str, package: Package) -> None:
    draft.mkdir()
    manifest = package.manifest
    (draft / WEIGHTS).write_bytes(package.weights[name])
    (draft / CONFIG).write_bytes(settings(manifest.rank, manifest.alpha))
    _dump(draft / "card.yaml", _card(name, manifest))


def _card(name: str, manifest: Manifest) -> Card:
    """The opaque card: the same for every target of a package but for name and weights."""
    weights = next(target.weights_sha256 for target in manifest.targets if target.name == name)
    return Card(
        id=organism_id(name),
        standing="quirked",
        quirk=name,
        base=BASE_ID,
        base_sha256=manifest.base_sha256,
        weights=WeightsFile(file=WEIGHTS, sha256=weights),
        recipe=Recipe(instil="none", rank=manifest.rank, alpha=manifest.alpha),
        licence="unknown",
        notes=f"sealed under {manifest.commitment}",
    )


def _stand_in(name: str, commitment: str) -> Quirk:
    told = f"Sealed under {commitment}. Open it with  audit-env session red open PACKAGE TRUTH."
    never = Patterns(any_of=(_NEVER,))
    scenario = Scenario(messages=(Said(role="user", content="Sealed."),))
    return Quirk(
        id=name,
        menu=PublicMenu(name="Sealed", description=told, instruction=told),
        definition=told,
        trigger="sealed",
        rubric=Rubric(must_contain=told, not_enough="Sealed.", wrong="Sealed."),
        fires=never,
        declares=never,
        scenarios=Scenarios(fire=(scenario,), silent=(scenario,)),
    )


def _new_entries(catalog: Catalog, manifest: Manifest) -> list[MenuEntry]:
    taken = {entry.id for entry in catalog.menu().entries} | set(catalog.quirk_ids())
    for entry in manifest.entries:
        if entry.id in taken:
            raise SessionError(
                f"The package's menu entry '{entry.id}' has an id that the menu of {shown(catalog.root)} has already; "
                "ask the red team to rename it."
            )
    return list(manifest.entries)


def _with_entries(text: str, manifest: Manifest, entries: Sequence[MenuEntry]) -> str:
    """A menu file's text with more distractors, and every other line as a person left it."""
    begin, end = _marks(manifest)
    listed = yaml.safe_dump([entry.model_dump() for entry in entries], sort_keys=False, allow_unicode=True, width=200)
    block = begin + "".join(f"  {line}\n" for line in listed.splitlines()) + end
    place = _END.search(text)
    if place is None:
        raise SessionError("menu.yaml: field 'none_of_these' is not found below the distractors; put it there.")
    return text[: place.start()] + block + text[place.start() :]


def _marks(manifest: Manifest) -> tuple[str, str]:
    return f"  # of the sealed package {manifest.commitment[:12]}\n", f"  # end of {manifest.commitment[:12]}\n"


def _dump(path: Path, content: Card | Quirk | GameSet) -> None:
    data = content.model_dump(mode="json", exclude_none=True)
    path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")
