"""Who plays: names to subjects, and the bases behind them.

Whoever sets up an audit binds an alias; everyone else knows only the alias. In runs where nothing is hidden, a
catalogue id is a name too. Bases are shared: one in memory, however many organisms and aliases it serves.
"""

import atexit
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Card, Engine
from audit_env.catalog.phenotype import made_of
from audit_env.errors import CardError, MissingExtraError, ParameterError, WeightsError
from audit_env.runtime.subject import Side, Subject

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
_bases: dict[tuple[Path, str | None, Engine], Any] = {}
"""A `small.base.Base` or a `hf.base.HfBase`: torch loads with the first of them."""
_subjects: dict[tuple[str, str | None], Subject] = {}
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
            for key in [key for key in _subjects if key[0] == alias]:
                del _subjects[key]


def subject(name: str, engine: str | None = None) -> Subject:
    """The subject behind a name. Loads what is not in memory yet.

    Args:
        name: A bound alias, or a catalogue id, with or without `@` and the first eight digits of its weights' hash.
        engine: What is to compute it, "small" or "hf". By default what the card says, or else "small" where that engine
            knows the architecture, and "hf" for all others.

    Returns:
        The handle; the same one for the same name and engine.

    Raises:
        CardError: If nothing has this name.
        WeightsError: If the weights are missing, altered, or do not fit, or are not the ones that the name asks for.
        ParameterError: If there is no such engine, or the subject has no weights to compute.
        MissingExtraError: If a package that the engine needs is not installed.
    """
    with _lock:
        if (name, engine) not in _subjects:
            _subjects[name, engine] = _play(name, _parts.get(name) or _from_catalogue(name), engine)
        return _subjects[name, engine]


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


def _play(name: str, part: Part, engine: str | None) -> Subject:
    if part.card.plays is None:
        return _local(name, part, _engine(part, engine))
    if engine is not None:
        raise ParameterError(f"engine='{engine}': '{name}' is played by a model and has no weights; leave it out.")
    return _prompted(name, part, part.card.plays)


def _engine(part: Part, asked: str | None) -> Engine:
    """What computes a part: what was asked for, what its card says, or the first engine that knows the architecture."""
    engines: tuple[Engine, ...] = get_args(Engine)
    chosen = asked or part.card.engine
    if chosen is None:
        return "small" if _small_knows(part.base_folder) else "hf"
    if chosen not in engines:
        raise ParameterError(
            f"engine='{chosen}': the engines are {' and '.join(engines)}; give one with  -M engine=...  or in field "
            "'engine' of the card."
        )
    return engines[engines.index(chosen)]


def _small_knows(folder: Path) -> bool:
    from audit_env.runtime.small.config import Shape

    try:
        Shape.read(folder)
    except WeightsError:
        return False
    return True


def _prompted(name: str, part: Part, plays: str) -> Subject:
    from audit_env.runtime.api import ApiSubject

    prompts: dict[Side, str | None] = {"target": part.card.hidden_system, "base": None}
    if part.sham_system is not None:
        prompts["sham"] = part.sham_system
    return ApiSubject(name, plays, prompts)


def _local(name: str, part: Part, engine: Engine) -> Subject:
    try:
        from audit_env.runtime.local import Casting

        base_type, subject_type = _types(engine)
    except ModuleNotFoundError as error:
        extra = "hf" if engine == "hf" else "local"
        raise MissingExtraError(str(error.name), extra, "Running an organism on this machine") from error
    card = part.card
    is_base = card.base is None
    key = part.base_folder.resolve(), card.weights.sha256 if is_base and card.weights else card.base_sha256, engine
    if key not in _bases:
        _bases[key] = base_type(*key[:2])
    base = _bases[key]
    adapter = None if is_base or card.weights is None else base.adapter(part.folder, card.weights.sha256)
    sides: dict[Side, Any] = {"target": Casting(adapter, card.hidden_system), "base": Casting()}
    if part.sham_folder is not None:
        prompted = part.sham_system is not None
        sides["sham"] = Casting(None if prompted else base.adapter(part.sham_folder), part.sham_system)
    made: Subject = subject_type(name, base, sides)
    return made


def _types(engine: Engine) -> tuple[Any, Any]:
    """What an engine calls a base and a subject."""
    if engine == "hf":
        from audit_env.runtime.hf.base import HfBase
        from audit_env.runtime.hf.subject import HfSubject

        return HfBase, HfSubject
    from audit_env.runtime.small.base import Base
    from audit_env.runtime.small.subject import SmallSubject

    return Base, SmallSubject


atexit.register(release_all)
