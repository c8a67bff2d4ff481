"""Subjects of the engine's own process: whether there is to be one, and the handles that it serves."""

import os
from pathlib import Path

from audit_env.catalog.models import Engine
from audit_env.errors import ParameterError
from audit_env.runtime.computing import Options, Part
from audit_env.runtime.forwarding.process import VARIABLE, EngineProcess
from audit_env.runtime.forwarding.subject import ForwardingSubject
from audit_env.runtime.subject import Subject

_process: EngineProcess | None = None


def takes(engine: Engine) -> bool:
    """Whether an engine computes in a process of its own.

    Args:
        engine: Which one. A vLLM server is a process by itself.

    Raises:
        ParameterError: If the environment says neither "own" nor "here".
    """
    where = os.environ.get(VARIABLE) or ("own" if os.name == "posix" else "here")
    if where not in ("own", "here"):
        raise ParameterError(f"{VARIABLE} is '{where}': set it to own or here.")
    return where == "own" and engine != "vllm"


def prepare() -> None:
    """Start the process, which loads while the caller goes on with other things."""
    _running()


def computed(name: str, part: Part, engine: Engine, *, anew: bool = False, options: Options = ()) -> Subject:
    """A part's subject (see `computing.computed`)."""
    process = _running()
    facts = process.call(None, "computed", name, _bare(part), engine, anew, options).result()
    return ForwardingSubject(process, facts, process.shared(_base(part, engine)))


def wearing(name: str, part: Part, engine: Engine, folder: Path) -> Subject:
    """The base of a part, wearing an adapter in place of the part's own (see `computing.wearing`)."""
    process = _running()
    facts = process.call(None, "wearing", name, _bare(part), engine, folder.resolve()).result()
    return ForwardingSubject(process, facts, process.shared(_base(part, engine)))


def close() -> None:
    """End the process. Whoever still waits for an answer gets an error."""
    global _process
    if _process is not None:
        _process.close()
        _process = None


def _running() -> EngineProcess:
    """The process, started where there is none or it has died."""
    global _process
    if _process is None or not _process.alive:
        _process = EngineProcess()
    return _process


def _bare(part: Part) -> Part:
    """A part as the engine's process takes it: what is not to be heard of a subject is kept back on this side."""
    return Part(
        part.card,
        part.folder.resolve(),
        part.base_folder.resolve(),
        part.sham_folder and part.sham_folder.resolve(),
        part.sham_system,
    )


def _base(part: Part, engine: Engine) -> tuple[Path, str]:
    return part.base_folder.resolve(), engine
