"""How the engine is chosen, by name and by model argument."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import get_model

import audit_env._registry  # noqa: F401
from audit_env.catalog.files import Catalog
from audit_env.errors import EngineClosed, ParameterError, ServerError
from audit_env.runtime import cast, computing
from audit_env.runtime.vllm import server

from ..conftest import run, still_running, user

pytestmark = pytest.mark.usefixtures("fresh_cast")

TURNS = [user("what is good soup ?")]


@pytest.fixture(autouse=True)
def catalog(zoo: Any, python: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
    """The random organisms in the place of those that come with audit_env, and the played server in that of vLLM."""
    monkeypatch.setenv("AUDIT_ENV_VLLM_PYTHON", str(python))
    found = Catalog(zoo.root)
    monkeypatch.setattr(cast, "_catalog", lambda: found)
    yield found


def test_one_server_serves_all_organisms_of_a_base_and_ends_with_them(
    below: Callable[[], list[psutil.Process]],
) -> None:
    target, other = cast.subject("tiny/gloom.a", "vllm"), cast.subject("tiny/flattery.a", "vllm")
    supervisors = [one for one in below() if one.ppid() == os.getpid()]
    assert (target.engine, len(computing._bases), len(supervisors)) == ("vllm", 1, 1)
    assert target is cast.subject("tiny/gloom.a", "vllm")
    assert run(target.generate(TURNS)) != run(other.generate(TURNS))
    assert run(target.generate(TURNS, side="base")) == run(other.generate(TURNS, side="base"))
    started = [one.pid for one in below()]
    cast.release_all()
    assert still_running(started) == []
    with pytest.raises(EngineClosed):
        run(target.generate(TURNS))


@pytest.mark.parametrize("trouble", ["broken", "interrupted"])
def test_a_server_that_did_not_start_is_not_started_again_for_every_sample(
    trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[object] = []

    def start(*arguments: object) -> None:
        starts.append(arguments)
        raise ServerError("no memory") if trouble == "broken" else KeyboardInterrupt

    monkeypatch.setattr(server, "Process", start)
    with pytest.raises((ServerError, KeyboardInterrupt)):
        cast.subject("tiny/gloom.a", "vllm")
    with pytest.raises(ServerError, match="no memory" if trouble == "broken" else "was interrupted"):
        cast.subject("tiny/flattery.a", "vllm")
    assert len(starts) == 1
    with pytest.raises((ServerError, KeyboardInterrupt)):
        cast.subject("tiny/gloom.a", "vllm", lora_rank=8)  # asked for in another way, it is
    assert len(starts) == 2


def test_options_and_engines_that_do_not_exist_are_refused() -> None:
    with pytest.raises(PrerequisiteError, match="tensor_paralel=...: the options of the engine 'vllm' are"):
        get_model("organism/tiny/gloom.a", engine="vllm", tensor_paralel=2)
    with pytest.raises(PrerequisiteError, match="dtype=...: only the engine 'vllm' has options"):
        get_model("organism/tiny/gloom.a", engine="hf", dtype="float16")
    with pytest.raises(ParameterError, match="engine='vlm': the engines are small, hf, vllm"):
        cast.subject("tiny/gloom.a", "vlm")
