"""What the blue team does with packages: a game set with their targets as they are, sealed, to be played.

Beside the set's file lies a catalogue of its own, with copies of all that the game needs: nothing is written into the
one that comes with audit_env. A sealed target stands in it as a quirked one whose quirk is a stand-in that nothing
measures. Whether it has one at all, only its red team knows; until the truth is opened, the behaviour gate leaves every
audit of it unscored.
"""

import re
import shutil
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

import yaml

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import (
    Card,
    GameSet,
    MenuFile,
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
from audit_env.catalog.reading import nearest, read, shown
from audit_env.errors import WeightsError
from audit_env.sessions.errors import SessionError
from audit_env.sessions.red.adapters import CONFIG, WEIGHTS, refuse_notes, settings
from audit_env.sessions.red.checking import BASE_ID
from audit_env.sessions.red.package import Manifest, Package
from audit_env.sessions.red.trying import SHAM_ID

FAMILY = "fruitfly"
_NEVER = r"(?!)"
"""A pattern that nothing matches."""


def organism_id(name: str) -> str:
    """The id under which a sealed target stands in a catalogue."""
    return f"{FAMILY}/{name}"


def seal_of(card: Card) -> str | None:
    """The commitment that a sealed target was handed out under; None for any other card."""
    found = re.fullmatch(r"sealed under ([0-9a-f]{64})", card.notes)
    return found[1] if found else None


def folder_of(set_file: Path) -> Path:
    """Where the catalogue of a game set with sealed targets lies."""
    return set_file.with_suffix(".organisms")


def take(packages: Sequence[Package], set_file: Path, beside: Sequence[str] = ()) -> GameSet:
    """Write a game set with the targets of packages and others, and the catalogue that it is played from.

    Args:
        packages: The packages.
        set_file: The set's file; the catalogue lies beside it.
        beside: Ids of other organisms, or names of sets, whose targets are played as well.

    Returns:
        The set.

    Raises:
        SessionError: A name is neither, a file is there already, or packages or the menu have something of one name.
        WeightsError: Targets were made on another base, or do not fit it.
    """
    folder = folder_of(set_file)
    if set_file.suffix not in (".yaml", ".yml"):
        raise SessionError(f"{shown(set_file)}: a game set is a YAML file; end its name with .yaml")
    if there := [path for path in (set_file, folder) if path.exists()]:
        raise SessionError(f"{shown(there[0])} is there already; choose another name.")
    shipped = Catalog()
    for package in packages:
        _must_fit(shipped, package.manifest)
    sealed = [organism_id(target.name) for package in packages for target in package.manifest.targets]
    if len(set(sealed)) < len(sealed):
        raise SessionError("One package is named twice: name each once.")
    others = [one for name in beside for one in _meant(shipped, name) if one != SHAM_ID]
    game_set = GameSet(
        name=set_file.stem,
        description="Targets of a red team, sealed, and others.",
        targets=tuple(dict.fromkeys((*sealed, *others))),
        reference_sham=SHAM_ID,
        organisms=folder.name,
    )
    set_file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".sealed-", dir=set_file.parent) as stage:
        root = Path(stage) / folder.name
        _copy(shipped, {SHAM_ID, BASE_ID, *others}, root)
        for package in packages:
            _add(package, root)
        catalog = Catalog(root)
        for one in game_set.targets:
            catalog.check(one)
        root.rename(folder)
    _dump(set_file, game_set)
    return game_set


def _must_fit(catalog: Catalog, manifest: Manifest) -> None:
    base = catalog.card(BASE_ID)
    if base.weights is None or base.weights.sha256 != manifest.base_sha256:
        raise WeightsError(
            f"The package was made on the base {manifest.base_sha256[:12]}, and '{BASE_ID}' here is "
            f"{base.weights.sha256[:12] if base.weights else 'missing'}; take it with the release of audit_env that "
            "the red team used."
        )


def _copy(catalog: Catalog, organisms: Collection[str], root: Path) -> None:
    """Copy organisms, with their bases and all that is known of their families, quirks and menu."""
    wanted = {*organisms, *(base for one in organisms if (base := catalog.card(one).base))}
    families = {catalog.card(one).family for one in wanted}
    known = set(catalog.organism_ids())

    def others(folder: str, names: list[str]) -> list[str]:
        family = Path(folder).relative_to(catalog.root).as_posix()
        return [name for name in names if f"{family}/{name}" in known - wanted]

    for family in families:
        shutil.copytree(catalog.root / family, root / family, ignore=others)
    shutil.copytree(catalog.root / "quirks", root / "quirks")
    shutil.copyfile(catalog.root / "menu.yaml", root / "menu.yaml")


def _add(package: Package, root: Path) -> None:
    """Add the targets and menu entries of a package to a catalogue."""
    manifest, catalog = package.manifest, Catalog(root)
    taken = {entry.id for entry in catalog.menu().entries} | set(catalog.quirk_ids())
    if twice := [entry.id for entry in manifest.entries if entry.id in taken]:
        raise SessionError(
            f"The package's menu entry '{twice[0]}' has an id that the menu has already; ask the red team to rename it."
        )
    for target in manifest.targets:
        folder = root / FAMILY / target.name
        folder.mkdir()
        (folder / WEIGHTS).write_bytes(package.weights[target.name])
        refuse_notes(folder / WEIGHTS)
        (folder / CONFIG).write_bytes(settings(manifest.rank, manifest.alpha))
        _dump(folder / "card.yaml", _card(target.name, manifest))
        _dump(root / "quirks" / f"{target.name}.yaml", _stand_in(target.name, manifest.commitment))
    menu = read(root / "menu.yaml", MenuFile)
    _dump(root / "menu.yaml", menu.model_copy(update={"distractors": (*menu.distractors, *manifest.entries)}))


def _meant(catalog: Catalog, name: str) -> Sequence[str]:
    if name in catalog.set_names():
        return catalog.game_set(name).targets
    if name in catalog.organism_ids():
        return [name]
    known = [*catalog.set_names(), *catalog.organism_ids()]
    raise SessionError(f"--with: there is no organism and no set '{name}'; {nearest(name, known)}.")


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


def _dump(path: Path, content: Card | Quirk | GameSet | MenuFile) -> None:
    data = content.model_dump(mode="json", exclude_none=True)
    path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), encoding="utf-8")
