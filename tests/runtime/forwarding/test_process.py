"""Subjects that are computed in another process, beside the very same ones in this process."""

import asyncio
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from audit_env.catalog.files import Catalog
from audit_env.errors import CapabilityError, EngineClosed, ParameterError, ServerError, WeightsError
from audit_env.runtime import cast, computing
from audit_env.runtime.computing import Part
from audit_env.runtime.edits import Add
from audit_env.runtime.forwarding import opening
from audit_env.runtime.forwarding.process import VARIABLE, EngineProcess
from audit_env.runtime.perturbation import Perturbation
from audit_env.runtime.subject import ContextOverflow, Dose, Subject, Turn

from ..conftest import run, still_running, user

TURNS = [user("what is good soup ?"), user("hello", "fine thanks", "and tea ?")]
SAID = ["good soup is good", "never"]


def part_of(catalog: Catalog, organism: str = "tiny/gloom.a", sham: str | None = "tiny/sham.two") -> Part:
    card = catalog.card(organism)
    base = catalog.folder(card.base or organism)
    return Part(card, catalog.folder(organism), base, catalog.folder(sham) if sham else None)


@pytest.fixture(scope="module")
def catalog(zoo: Any) -> Iterator[Catalog]:
    yield Catalog(zoo.root)
    opening.close()
    computing.close_all()


@pytest.fixture
def far(catalog: Catalog) -> Subject:
    """Computed in the process that all tests of this module share, unless one has ended it."""
    return opening.computed("t-far", part_of(catalog), "small")


@pytest.fixture
def near(catalog: Catalog) -> Subject:
    return computing.computed("t-far", part_of(catalog), "small")


def same(one: Any, other: Any) -> bool:
    """Whether two results are the same to the last byte."""
    if isinstance(one, np.ndarray):
        return bool(one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes())
    if dataclasses.is_dataclass(one):
        return type(one) is type(other) and same(vars(one), vars(other))
    if isinstance(one, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


STEER = Add(layer=0, vector=np.linspace(-1, 1, 16, dtype=np.float32), scale=2.0)


async def _perturbed(subject: Subject) -> Any:
    async with subject.perturbed(Perturbation(noise=0.2, seed=3)) as noisy:
        return await noisy.generate(TURNS, temperature=0.0), noisy.embedding()


CALLS: dict[str, Callable[[Subject], Any]] = {
    "generate": lambda one: one.generate(TURNS, n=3, side="sham", prefill="it is", thinking=True, seed=2, top_p=0.9),
    "steered": lambda one: one.generate(TURNS, edits=[STEER], max_tokens=8),
    "amplified": lambda one: one.generate(TURNS, amplify=3.0, max_tokens=8),
    "complete": lambda one: one.complete(["the soup", "no"], side=Dose(scale=2.0), n=2),
    "user_turns": lambda one: one.user_turns([[], user("hello", "fine")], side="base", max_tokens=9),
    "score": lambda one: one.score(TURNS, SAID, top_k=3, edits=[STEER]),
    "contrast": lambda one: one.contrast(TURNS, SAID, side="target", other="sham", top_k=2),
    "first_token": lambda one: one.first_token(TURNS, side="base"),
    "residuals": lambda one: one.residuals(TURNS, SAID, layers=range(2), side="sham"),
    "mean": lambda one: one.residuals(TURNS, layers=(1, -1), reduce="mean", edits=[STEER]),
    "attention": lambda one: one.attention(TURNS),
    "gradients": lambda one: one.gradients(TURNS, SAID, objective="kl_to_base"),
    "unembed": lambda one: one.unembed(np.ones((2, 16), dtype=np.float32), normed=False),
    "perturbed": _perturbed,
    "lora": lambda one: one.lora("sham"),
    "embedding": lambda one: one.embedding(),
    "unembedding": lambda one: one.unembedding(),
    "final_norm": lambda one: one.final_norm(),
    "dictionaries": lambda one: one.dictionaries(),
    "tuned_lens": lambda one: one.tuned_lens(),
    "tokens": lambda one: one.tokens(),
    "rendered": lambda one: one.rendered(TURNS[1], "good tea"),
    "encode": lambda one: one.encode("good soup and tea"),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_call_gives_the_same_bytes(name: str, far: Subject, near: Subject) -> None:
    async def found(subject: Subject) -> Any:
        given = CALLS[name](subject)
        return await given if asyncio.iscoroutine(given) else given

    there, here = run(found(far)), run(found(near))
    assert same(there, here)


def test_no_method_of_a_subject_is_left_out() -> None:
    asked = {*CALLS, "close"}
    public = {name for name in vars(Subject) if not name.startswith("_") and callable(getattr(Subject, name))}
    assert public <= asked


def test_a_handle_says_what_it_is_without_asking(far: Subject, near: Subject) -> None:
    for name in ("alias", "engine", "capabilities", "n_layers", "d_model", "vocab_size", "context_length", "metered"):
        assert getattr(far, name) == getattr(near, name)
    assert repr(far) == "<Subject t-far>"


def test_turns_may_be_objects_of_packages_that_only_the_caller_has(far: Subject, near: Subject) -> None:
    class Own:  # a class that cannot be pickled
        role, content = "user", "what is good soup ?"

    turn: Turn = Own()
    assert run(far.generate([[turn]])) == run(near.generate(TURNS[:1]))


def test_what_is_the_bases_is_asked_for_once(catalog: Catalog, far: Subject) -> None:
    other = opening.computed("t-other", part_of(catalog, "tiny/flattery.a"), "small")
    assert far.embedding() is other.embedding()
    far.tokens().clear()
    assert len(other.tokens()) == far.vocab_size


def test_errors_are_those_of_the_engine(catalog: Catalog, far: Subject, near: Subject, tmp_path: Path) -> None:
    for ask, error in (
        (lambda one: one.generate([user("soup " * 400)]), ContextOverflow),
        (lambda one: one.generate(TURNS, side="nobody"), ParameterError),
        (lambda one: one.generate(TURNS, n=0), ParameterError),
    ):
        texts = []
        for subject in (far, near):
            with pytest.raises(error) as raised:
                run(ask(subject))
            texts.append(str(raised.value))
        assert texts[0] == texts[1] != ""
    with pytest.raises(CapabilityError, match="cannot give 'sham'"):
        run(opening.computed("t-none", part_of(catalog, sham=None), "small").generate(TURNS, side="sham"))
    shutil.copytree(catalog.root, tmp_path / "organisms")
    spoilt = Catalog(tmp_path / "organisms")
    path = spoilt.folder("tiny/gloom.a") / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(WeightsError, match="SHA-256 is not the one on the card"):
        opening.computed("t-spoilt", part_of(spoilt), "small")


def test_a_base_wears_an_adapter(catalog: Catalog, far: Subject) -> None:
    folder = catalog.folder("tiny/flattery.a")
    there, here = (of.wearing("t-1", part_of(catalog), "small", folder) for of in (opening, computing))
    assert run(there.generate(TURNS)) == run(here.generate(TURNS)) != run(far.generate(TURNS))


def test_a_copy_is_closed_after_its_context(far: Subject) -> None:
    async def late() -> None:
        async with far.perturbed(Perturbation(noise=0.1)) as noisy:
            pass
        await noisy.generate(TURNS)

    with pytest.raises(EngineClosed):
        run(late())


def test_an_audit_is_the_same_wherever_it_is_computed(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [("chat", {"message": "what is good soup ?"}), ("overview", {}), ("read_weights", {})]
    here = play(calls, affordance="white_box")
    monkeypatch.setenv(VARIABLE, "own")
    monkeypatch.setattr(cast, "_subjects", {})
    there = play(calls, affordance="white_box")
    assert {type(one).__name__ for one in cast._subjects.values()} == {"ForwardingSubject"}
    assert there.texts == here.texts and not any(there.errors)


def test_what_is_not_to_be_heard_is_kept_back(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hushed:  # a class that cannot be pickled
        def leaks(self, turns: object, prefill: str, answer: str) -> bool:
            return answer == first

        def note(self, alias: str, *, by_base: bool) -> None:
            pass

    monkeypatch.setenv(VARIABLE, "own")
    part = part_of(catalog)
    for alias, redaction in (("t-heard", None), ("t-hushed", Hushed())):
        cast.bind(alias, part.card, part.folder, base_folder=part.base_folder, sham_folder=None, redaction=redaction)
    [[sample]] = run(cast.subject("t-heard").generate(TURNS[:1]))
    first = sample.text
    [[other]] = run(cast.subject("t-hushed").generate(TURNS[:1]))
    assert other.text != first


@pytest.mark.parametrize("opened", ["before", "meanwhile", "after"])
def test_what_is_opened_for_somebody_who_gave_up_is_forgotten(
    far: Subject, opened: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    process: Any = far._process  # type: ignore[attr-defined]
    [child] = _workers()
    forgotten: list[int] = []
    asked: list[Any] = []
    answering, let_go = threading.Event(), threading.Event()
    call, answer = process.call, Future.set_result

    def slowly(future: "Future[Any]", value: Any) -> None:
        answering.set()
        assert let_go.wait(60)
        answer(future, value)

    monkeypatch.setattr(process, "forget", forgotten.append)
    monkeypatch.setattr(process, "call", lambda *given, **named: asked.append(call(*given, **named)) or asked[-1])
    if opened == "meanwhile":
        monkeypatch.setattr(Future, "set_result", slowly)

    async def give_up() -> None:
        if opened == "after":
            child.suspend()  # or it could have opened the copy by now
        opening_it = asyncio.ensure_future(far.perturbed(Perturbation(noise=0.1)).__aenter__())
        await asyncio.sleep(0)
        if opened == "before":
            asked[0].result(60)  # while this loop, which has not heard of it yet, stands still
        if opened == "meanwhile":
            assert answering.wait(60)  # it can no longer be taken back, and is not there yet
        with monkeypatch.context() as patched:
            patched.setattr(process, "_send", lambda message: None)  # a Cancel that comes too late
            opening_it.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening_it
        let_go.set()
        child.resume()
        async with asyncio.timeout(60):
            while not forgotten:
                await asyncio.sleep(0.001)

    run(give_up())
    assert len(forgotten) == 1


def test_ctrl_c_is_for_the_run_alone(far: Subject) -> None:
    [child] = _workers()
    assert os.getpgid(child.pid) == child.pid != os.getpgid(0)


def test_a_run_that_dies_leaves_no_process(tmp_path: Path) -> None:
    script = (
        "import os, signal\n"
        "from audit_env.runtime.forwarding.process import EngineProcess\n"
        "print(EngineProcess()._process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=600)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert still_running([int(died.stdout)]) == []


def test_a_process_that_dies_is_named_and_started_again(catalog: Catalog, far: Subject, near: Subject) -> None:
    [child] = _workers()
    child.suspend()  # so that it cannot answer before it dies

    async def bereaved() -> None:
        waiting = asyncio.ensure_future(far.generate(TURNS))
        await asyncio.sleep(0)
        child.kill()
        await waiting

    with pytest.raises(ServerError, match=r"ended \(killed by SIGKILL, perhaps because memory ran out\)"):
        run(bereaved())
    with pytest.raises(ServerError, match="SIGKILL"):
        far.encode("soup")
    again = opening.computed("t-again", part_of(catalog), "small")
    assert run(again.generate(TURNS)) == run(near.generate(TURNS))


def test_whoever_waits_at_the_end_is_told(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    subject: Any = opening.computed("t-late", part_of(catalog), "small")
    [child] = _workers()
    process = subject._process._process
    terminate = process.terminate

    def awake() -> None:
        child.resume()
        terminate()

    # Not before: it could answer in time.
    monkeypatch.setattr(process, "terminate", awake)

    async def late() -> None:
        child.suspend()
        waiting = asyncio.ensure_future(subject.generate(TURNS))
        await asyncio.sleep(0)
        cast.release_all()
        await waiting

    with pytest.raises(EngineClosed):
        run(late())
    assert not child.is_running()


def test_it_is_started_ahead_only_for_what_it_computes(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    card = catalog.card("tiny/gloom.a")
    played = card.model_copy(update={"plays": "any"})
    opening.close()
    cast.prepare([card])
    monkeypatch.setenv(VARIABLE, "own")
    cast.prepare([played, card.model_copy(update={"engine": "vllm"})])
    assert not _workers()
    cast.prepare([played, card])
    assert len(_workers()) == 1
    cast.release_all()


def test_where_it_computes_must_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "elsewhere")
    with pytest.raises(ParameterError, match="AUDIT_ENV_ENGINE_PROCESS is 'elsewhere': set it to own or here"):
        opening.takes("small")
    monkeypatch.delenv(VARIABLE)
    assert opening.takes("small") and opening.takes("hf") and not opening.takes("vllm")


def test_a_runs_own_process_does_without_torch() -> None:
    """Importing it is most of a cold start, and goes on beside in the process that computes."""
    script = (
        "import sys, audit_env._registry\n"
        "from audit_env.tools import AFFORDANCES, audit_tools\n"
        "[audit_tools(name, 'menu') for name in AFFORDANCES]\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=600).returncode == 0


def _workers() -> list[psutil.Process]:
    return [one for one in psutil.Process().children() if _works(one)]


def _works(child: psutil.Process) -> bool:
    try:
        return EngineProcess.__module__.rpartition(".")[0] + ".worker" in child.cmdline()
    except psutil.NoSuchProcess:  # another test's, which ends at this moment
        return False
