"""Who plays: names to subjects, and the bases behind them.

Whoever sets up an audit binds an alias; everyone else knows only the alias. In runs where nothing is hidden, a
catalogue id is a name too. Bases are shared: one in memory, however many organisms and aliases it serves.
"""

import atexit
import threading
from collections.abc import Iterable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from audit_env.catalog import training
from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Card
from audit_env.catalog.phenotype import made_of
from audit_env.catalog.reading import read as read_card
from audit_env.catalog.training import Mix
from audit_env.errors import CardError, ParameterError, WeightsError
from audit_env.runtime import computing
from audit_env.runtime.computing import Options, Part
from audit_env.runtime.forwarding import opening
from audit_env.runtime.redacting import RedactedSubject, Redaction
from audit_env.runtime.subject import Side, Subject

PROVIDER = "organism"
"""Name of the Inspect provider."""

_parts: dict[str, Part] = {}
_subjects: dict[tuple[str, str | None, bool, Options], Subject] = {}
_lock = threading.RLock()


def bind(
    alias: str,
    card: Card,
    folder: Path,
    *,
    base_folder: Path,
    sham_folder: Path | None,
    sham_system: str | None = None,
    redaction: Redaction | None = None,
) -> None:
    """Give an alias its part. Binding it again changes the part.

    Args:
        alias: Opaque name, under which `subject` and the provider will find the organism.
        card: The organism's card.
        folder: Where its weights lie.
        base_folder: Where its base lies (for a base, `folder`).
        sham_folder: Where the sham lies that white-box readings are compared with, if there is one.
        sham_system: The sham's hidden prompt, if it is a prompted one.
        redaction: What is not to be heard of it, if there is such a thing.
    """
    part = Part(card, folder, base_folder, sham_folder, sham_system, redaction)
    with _lock:
        if _parts.get(alias) != part:
            _parts[alias] = part
            for key in [key for key in _subjects if key[0] == alias]:
                del _subjects[key]


def subject(name: str, engine: str | None = None, *, anew: bool = False, **options: Any) -> Subject:
    """The subject behind a name. Loads what is not in memory yet.

    Args:
        name: A bound alias, or a catalogue id, with or without `@` and the first eight digits of its weights' hash.
        engine: What is to compute it, "small", "hf" or "vllm". By default what the card says, or else "small" where
            that engine knows the architecture, and "hf" for all others.
        anew: Whether to compute every answer, also where the disk keeps one of an earlier run: for measurements.
        **options: Of the engine "vllm" (see `vllm.options.Options`); in place of the environment's.

    Returns:
        The handle; the same one for the same arguments.

    Raises:
        CardError: If nothing has this name.
        WeightsError: If the weights are missing, altered, or do not fit, or are not the ones that the name asks for.
        ParameterError: If there is no such engine or option, or the subject has no weights to compute.
        ServerError: If the engine is a server that cannot be started or reached.
        MissingExtraError: If a package that the engine needs is not installed.
    """
    key = name, engine, anew, tuple(sorted(options.items()))
    with _lock:
        if key not in _subjects:
            _subjects[key] = _play(name, _parts.get(name) or _from_catalogue(name), engine, anew, key[-1])
        return _subjects[key]


def prepare(cards: Iterable[Card]) -> None:
    """Have what computes organisms load in the background, where it is a process of its own and will be needed.

    Args:
        cards: Whose subjects are going to be asked for.
    """
    with _lock:
        if any(card.plays is None and opening.takes(card.engine or "small") for card in cards):
            opening.prepare()


def wearing(name: str, folder: Path) -> Subject:
    """The base behind a name, wearing an adapter of the caller's in place of the subject's own.

    What it says is computed anew every time: nothing of it is kept.

    Args:
        name: A bound alias, or a catalogue id.
        folder: A PEFT adapter folder of the same base. Read at once, and not needed afterwards (by "vllm": as long as
            the handle is used).

    Returns:
        A handle whose side "target" wears the adapter.

    Raises:
        CardError: If nothing has this name.
        WeightsError: If the adapter is missing, of a form that the engine does not compute, or of another base.
        ParameterError: If the subject is played by a model and has no weights.
    """
    with _lock:
        part = _parts.get(name) or _from_catalogue(name)
        if part.card.plays is not None:
            raise ParameterError("This subject is played by a model and has no weights that could wear an adapter.")
        engine = computing.engine_of(part, None)
        if opening.takes(engine):
            return opening.wearing(name, part, engine, folder)
        return computing.wearing(name, part, engine, folder)


def release_all() -> None:
    """Unbind every alias and take every base out of memory. Whoever still waits for an answer gets an error."""
    with _lock:
        opening.close()
        computing.close_all()
        _parts.clear()
        _subjects.clear()


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


def training_mix(name: str, share: float) -> Mix:
    """What a subject was trained on, diluted with ordinary text.

    Args:
        name: A bound alias, or a catalogue id.
        share: Share of the subject's own training data.

    Returns:
        The mix; the same one for the same subject and share.

    Raises:
        CapabilityError: If no training data were kept.
        CardError: If what was kept is malformed or of other data, or nothing has this name.
        ParameterError: If the share is none.
    """
    with _lock:
        part = _parts.get(name) or _from_catalogue(name)
    return _mix(part.card, part.folder, part.base_folder, share)


def stands_for(name: str, organism_id: str) -> bool:
    """Whether a name stands for an organism of the catalogue. Nobody who asks is told which one it stands for.

    Args:
        name: A bound alias.
        organism_id: A catalogue id, with or without the first digits of its hash.
    """
    with _lock:
        part = _parts.get(name)
    return part is not None and part.card.id == organism_id.partition("@")[0]


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


@lru_cache(maxsize=4)
def _mix(card: Card, folder: Path, base_folder: Path, share: float) -> Mix:
    own = () if card.base is None else training.read(folder, card)
    base = card if card.base is None else read_card(base_folder / "card.yaml", Card)
    return training.diluted(own, training.read(base_folder, base), share)


@cache
def _catalog() -> Catalog:
    return Catalog()


def _fingerprint(card: Card) -> str:
    """Eight hexadecimal digits that change with what the organism is."""
    return made_of(card)[:8]


def _play(name: str, part: Part, engine: str | None, anew: bool, options: Options) -> Subject:
    made = _unredacted(name, part, engine, anew, options)
    return RedactedSubject(made, part.redaction) if part.redaction else made


def _unredacted(name: str, part: Part, engine: str | None, anew: bool, options: Options) -> Subject:
    if part.card.plays is None:
        chosen = computing.engine_of(part, engine)
        computed = opening.computed if opening.takes(chosen) else computing.computed
        return computed(name, part, chosen, anew=anew, options=options)
    if engine is not None or options:
        given = f"engine='{engine}'" if engine is not None else f"{options[0][0]}=..."
        raise ParameterError(f"{given}: '{name}' is played by a model and has no weights; leave it out.")
    return _prompted(name, part, part.card.plays)


def _prompted(name: str, part: Part, plays: str) -> Subject:
    from audit_env.runtime.api import ApiSubject

    prompts: dict[Side, str | None] = {"target": part.card.hidden_system, "base": None}
    if part.sham_system is not None:
        prompts["sham"] = part.sham_system
    return ApiSubject(name, plays, prompts)


atexit.register(release_all)
