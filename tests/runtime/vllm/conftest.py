"""A subject on a server that is only played."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from audit_env.runtime.local import Casting
from audit_env.runtime.vllm import client
from audit_env.runtime.vllm.base import VllmBase
from audit_env.runtime.vllm.options import Options
from audit_env.runtime.vllm.server import opaque
from audit_env.runtime.vllm.subject import VllmSubject

from ..conftest import Folders
from .fake import Fake
from .real import python_with_vllm

ALIAS = "t-00000000"


class Played(NamedTuple):
    """A subject and the server that plays it."""

    subject: VllmSubject
    fake: Fake


@pytest.fixture
def play(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Played]]:
    """Makes a server and a subject with the adapters 0 and 1 as target and sham."""
    monkeypatch.setattr(client, "PAUSES", (0.0, 0.0, 0.0))

    def make(*, context: int = 256, lens: bool = True, **options: Any) -> Played:
        names = [opaque("base", folders.base), *(opaque("adapter", folder) for folder in folders.adapters[:2])]
        fake = stack.enter_context(Fake(*names, lens=lens, context=context))
        base = VllmBase(folders.base, options=Options(url=fake.url, **options))
        stack.callback(base.engine.close)
        target, sham = (Casting(base.adapter(folder)) for folder in folders.adapters[:2])
        return Played(VllmSubject(ALIAS, base, {"target": target, "base": Casting(), "sham": sham}), fake)

    with ExitStack() as stack:
        yield make


@pytest.fixture
def played(play: Callable[..., Played]) -> Played:
    """A subject on a server with vllm-lens."""
    return play()


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that end by themselves leave their logs."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.fixture
def below() -> Callable[[], list[psutil.Process]]:
    """All processes that the test has started and that run: a supervisor, a server and what the server started.

    Not what tests before it have left to this process.
    """
    before = psutil.Process().children(recursive=True)
    return lambda: [one for one in psutil.Process().children(recursive=True) if one not in before]


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A "Python" that starts the played server in the place of vLLM's."""
    script = tmp_path_factory.mktemp("bin") / "python"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("fake.py")}" "$@"\n')
    os.chmod(script, 0o755)
    return script


@pytest.fixture(scope="session")
def real_python() -> str:
    """The Python of an environment with vLLM."""
    return python_with_vllm()
