"""From what a name stands for to a subject that is computed: the bases in memory, and the engines that run them."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from audit_env.catalog.models import Card, Engine
from audit_env.errors import MissingExtraError, ParameterError, ServerError, WeightsError
from audit_env.runtime.answers import Answers
from audit_env.runtime.subject import Side, Subject

if TYPE_CHECKING:
    from audit_env.runtime.redacting import (
        Redaction,  # which loads Inspect: a process that only computes has no use for it
    )

Options = tuple[tuple[str, Any], ...]
"""Options of an engine, by name."""

_Key = tuple[Path, str | None, Engine, Hashable]
"""What a base is made of: folder, expected hash, engine, and how that is started."""


@dataclass(frozen=True)
class Part:
    """What a name stands for."""

    card: Card
    folder: Path
    base_folder: Path
    sham_folder: Path | None
    sham_system: str | None = None
    redaction: "Redaction | None" = None


_bases: dict[_Key, Any] = {}
"""A `Base` of small, a `HfBase` or a `VllmBase`: torch loads with the first of them."""
_failed: dict[_Key, ServerError] = {}
"""Servers that did not start: each sample of a run would start one anew and wait for it, also after Ctrl-C."""


def engine_of(part: Part, asked: str | None) -> Engine:
    """What computes a part.

    Args:
        part: Of an organism with weights.
        asked: Name of an engine, if the caller wants a certain one.

    Returns:
        What was asked for, what the card says, or the first engine that knows the architecture.

    Raises:
        ParameterError: If there is no such engine.
    """
    engines: tuple[Engine, ...] = get_args(Engine)
    chosen = asked or part.card.engine
    if chosen is None:
        return "small" if _small_knows(part.base_folder) else "hf"
    if chosen not in engines:
        raise ParameterError(
            f"engine='{chosen}': the engines are {', '.join(engines)}; give one with  -M engine=...  or in field "
            "'engine' of the card."
        )
    return engines[engines.index(chosen)]


def computed(name: str, part: Part, engine: Engine, *, anew: bool = False, options: Options = ()) -> Subject:
    """A part's subject. Loads what is not in memory yet; the base is shared with all others that were made from it.

    Args:
        name: The alias of the handle.
        part: Of an organism with weights.
        engine: What is to compute it.
        anew: Whether to compute every answer, also where the disk keeps one.
        options: Of the engine "vllm".

    Returns:
        A new handle.

    Raises:
        WeightsError: If the weights are missing, altered, or do not fit.
        ParameterError: If there is no such option.
        ServerError: If the engine is a server that cannot be started or reached.
        MissingExtraError: If a package that the engine needs is not installed.
    """
    base, subject_type = _base_of(part, engine, anew, options)
    card = part.card
    adapter = None if card.base is None or card.weights is None else base.adapter(part.folder, card.weights.sha256)
    sides: dict[Side, Any] = {"target": _casting(adapter, card.hidden_system), "base": _casting()}
    if part.sham_folder is not None:
        prompted = part.sham_system is not None
        sides["sham"] = _casting(None if prompted else base.adapter(part.sham_folder), part.sham_system)
    made: Subject = subject_type(name, base, sides)
    return made


def wearing(name: str, part: Part, engine: Engine, folder: Path) -> Subject:
    """The base of a part, wearing an adapter in place of the part's own (see `cast.wearing`).

    Args:
        name: The alias of the handle.
        part: Of an organism with weights.
        engine: What is to compute it.
        folder: A PEFT adapter folder of the same base.

    Returns:
        A new handle, of which nothing is kept.

    Raises:
        WeightsError: If the adapter is missing, of a form that the engine does not compute, or of another base.
    """
    base, subject_type = _base_of(part, engine, anew=True, options=())
    sides: dict[Side, Any] = {"target": _casting(base.adapter(folder)), "base": _casting()}
    made: Subject = subject_type(name, base, sides)
    return made


def close_all() -> None:
    """Take every base out of memory. Whoever still waits for an answer gets an error."""
    for base in _bases.values():
        base.engine.close()
    _bases.clear()
    _failed.clear()
    _answers.cache_clear()


def _small_knows(folder: Path) -> bool:
    from audit_env.runtime.small.config import Shape

    try:
        Shape.read(folder)
    except WeightsError:
        return False
    return True


def _base_of(part: Part, engine: Engine, anew: bool, options: Options) -> tuple[Any, Any]:
    """The base of a part, in memory, and what its engine calls a subject."""
    try:
        base_type, subject_type = _types(engine, anew)
    except ModuleNotFoundError as error:
        extra = "local" if engine == "small" else engine
        raise MissingExtraError(str(error.name), extra, "Running an organism on this machine") from error
    card = part.card
    expected = card.weights.sha256 if card.base is None and card.weights else card.base_sha256
    return _base((part.base_folder.resolve(), expected, engine, _how(engine, options)), base_type), subject_type


def _casting(adapter: Any = None, hidden_system: str | None = None) -> Any:
    """What a side adds to the base."""
    from audit_env.runtime.local import Casting

    return Casting(adapter, hidden_system)


def _base(key: _Key, base_type: Any) -> Any:
    if key in _failed:
        raise _failed[key]
    if key not in _bases:
        *what, _, how = key
        try:
            _bases[key] = base_type(*what) if how is None else base_type(*what, how)
        except ServerError as error:
            _failed[key] = error
            raise
        except KeyboardInterrupt:
            _failed[key] = ServerError("The start of the vLLM server was interrupted: start the run again.")
            raise
    return _bases[key]


def _how(engine: Engine, options: Options) -> Hashable:
    """How an engine is started, where that can be told it."""
    if engine == "vllm":
        from audit_env.runtime.vllm.options import Options

        return Options.read(dict(options))
    if options:
        raise ParameterError(f"{options[0][0]}=...: only the engine 'vllm' has options; leave it out.")
    return None


def _types(engine: Engine, anew: bool) -> tuple[Any, Any]:
    """What an engine calls a base and a subject."""
    if engine == "vllm":
        from audit_env.runtime.vllm.base import VllmBase
        from audit_env.runtime.vllm.subject import VllmSubject

        return VllmBase, VllmSubject
    kept = None if anew else _answers()
    if engine == "hf":
        from audit_env.runtime.hf.base import HfBase
        from audit_env.runtime.hf.subject import HfSubject

        return HfBase, partial(HfSubject, kept=kept)
    from audit_env.runtime.small.base import Base
    from audit_env.runtime.small.subject import SmallSubject

    return Base, partial(SmallSubject, kept=kept)


@cache
def _answers() -> Answers:
    """What this machine keeps of earlier runs."""
    return Answers.from_environment()
