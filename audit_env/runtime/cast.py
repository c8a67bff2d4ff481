"""Who plays: names to subjects, and the bases behind them.

Whoever sets up an audit binds an alias; everyone else knows only the alias. In runs where nothing is hidden, a
catalogue id is a name too. Bases are shared: one in memory, however many organisms and aliases it serves.
"""

import atexit
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Card
from audit_env.catalog.phenotype import made_of
from audit_env.errors import CardError, MissingExtraError, WeightsError
from audit_env.runtime.subject import Side, Subject

if TYPE_CHECKING:  # torch loads with the first subject
    from audit_env.runtime.small.base import Base

PROVIDER = "organism"
"""Name of the Inspect provider."""


@dataclass(frozen=True)
class Part:
    """What a name stands for."""

    card: Card
    folder: Path
    base_folder: Path
    sham_folder: Path | None
    sham_system: str | None = None


_parts: dict[str, Part] = {}
_bases: "dict[tuple[Path, str | None], Base]" = {}
_subjects: dict[str, Subject] = {}
_lock = threading.RLock()


def bind(
    alias: str,
    card: Card,
    folder: Path,
    *,
    base_folder: Path,
    sham_folder: Path | None,
    sham_system: str | None = None,
) -> None:
    """Give an alias its part. Binding it again changes the part.

    Args:
        alias: Opaque name, under which `subject` and the provider will find the organism.
        card: The organism's card.
        folder: Where its weights lie.
        base_folder: Where its base lies (for a base, `folder`).
        sham_folder: Where the sham lies that white-box readings are compared with, if there is one.
        sham_system: The sham's hidden prompt, if it is a prompted one.
    """
    part = Part(card, folder, base_folder, sham_folder, sham_system)
    with _lock:
        if _parts.get(alias) != part:
            _parts[alias] = part
            _subjects.pop(alias, None)


def subject(name: str) -> Subject:
    """The subject behind a name. Loads what is not in memory yet.

    Args:
        name: A bound alias, or a catalogue id, with or without `@` and the first eight digits of its weights' hash.

    Returns:
        The handle; the same one for the same name.

    Raises:
        CardError: If nothing has this name.
        WeightsError: If the weights are missing, altered, or do not fit, or are not the ones that the name asks for.
        MissingExtraError: If torch is not installed.
    """
    with _lock:
        if name not in _subjects:
            _subjects[name] = _play(name, _parts.get(name) or _from_catalogue(name))
        return _subjects[name]


def release_all() -> None:
    """Unbind every alias and take every base out of memory. Whoever still waits for an answer gets an error."""
    with _lock:
        for base in _bases.values():
            base.engine.close()
        _parts.clear()
        _subjects.clear()
        _bases.clear()


def plays(name: str) -> str | None:
    """Who plays a subject that has no weights.

    Args:
        name: A bound alias, or a catalogue id.

    Returns:
        "any", or the name of an Inspect model; None for a subject with weights.

    Raises:
        CardError: If nothing has this name.
        WeightsError: If the name asks for other weights than there are.
    """
    with _lock:
        return (_parts.get(name) or _from_catalogue(name)).card.plays


def model_name(alias: str) -> str:
    """The name of a subject as an Inspect model."""
    return f"{PROVIDER}/{alias}"


def pinned(name: str) -> str:
    """A name that changes with what it stands for, so that nothing cached under old weights is served for new ones.

    Args:
        name: A bound alias, which changes with the weights by itself, or a catalogue id.

    Returns:
        The alias, or `<id>@<first eight digits of its hash>`.

    Raises:
        CardError: If nothing has this name.
        WeightsError: If the name asks for other weights than there are.
    """
    with _lock:
        return name if name in _parts else f"{name.partition('@')[0]}@{_fingerprint(_from_catalogue(name).card)}"


def _from_catalogue(name: str) -> Part:
    organism_id, _, fingerprint = name.partition("@")
    if "/" not in organism_id:
        raise CardError(
            f"Nothing is bound to the name '{name}' in this process: name an organism by its id, such as {PROVIDER}/"
            "<family>/<organism>, or bind the alias first."
        )
    catalog = _catalog()
    card = catalog.card(organism_id)
    if fingerprint and fingerprint != _fingerprint(card):
        raise WeightsError(
            f"'{name}' asks for weights that are no longer there: '{organism_id}' is now at {_fingerprint(card)}. "
            f"Ask for '{organism_id}' to take it as it is."
        )
    return Part(card, catalog.folder(organism_id), catalog.folder(card.base or organism_id), sham_folder=None)


@cache
def _catalog() -> Catalog:
    return Catalog()


def _fingerprint(card: Card) -> str:
    """Eight hexadecimal digits that change with what the organism is."""
    return made_of(card)[:8]


def _play(name: str, part: Part) -> Subject:
    if part.card.plays is not None:
        return _prompted(name, part, part.card.plays)
    return _local(name, part)


def _prompted(name: str, part: Part, plays: str) -> Subject:
    from audit_env.runtime.api import ApiSubject

    prompts: dict[Side, str | None] = {"target": part.card.hidden_system, "base": None}
    if part.sham_system is not None:
        prompts["sham"] = part.sham_system
    return ApiSubject(name, plays, prompts)


def _local(name: str, part: Part) -> Subject:
    try:
        from audit_env.runtime.small.subject import Casting, SmallSubject
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name), "local", "Running an organism on this machine") from error
    card = part.card
    is_base = card.base is None
    base = _base(part.base_folder, card.weights.sha256 if is_base and card.weights else card.base_sha256)
    adapter = None if is_base or card.weights is None else base.adapter(part.folder, card.weights.sha256)
    sides: dict[Side, Casting] = {"target": Casting(adapter, card.hidden_system), "base": Casting()}
    if part.sham_folder is not None:
        prompted = part.sham_system is not None
        sides["sham"] = Casting(None if prompted else base.adapter(part.sham_folder), part.sham_system)
    return SmallSubject(name, base, sides)


def _base(folder: Path, expected: str | None) -> "Base":
    from audit_env.runtime.small.base import Base

    key = folder.resolve(), expected
    if key not in _bases:
        _bases[key] = Base(folder, expected)
    return _bases[key]


atexit.register(release_all)
