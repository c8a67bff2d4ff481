"""Servers that we start: how they begin, and that nothing of them is left."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from audit_env.errors import ParameterError, ServerError
from audit_env.runtime.local import Casting
from audit_env.runtime.vllm import client
from audit_env.runtime.vllm import process as process_module
from audit_env.runtime.vllm.base import VllmBase
from audit_env.runtime.vllm.options import Options
from audit_env.runtime.vllm.process import Process
from audit_env.runtime.vllm.subject import VllmSubject

from ..conftest import Folders, run, still_running, user
from .fake import Fake

TURNS = [user("what is a good soup ?")]
LONG = 60


@pytest.fixture
def start(folders: Folders, python: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Process]]:
    """Starts a played server below this process."""
    monkeypatch.setattr(client, "PAUSES", (0.0, 0.0, 0.0))

    def make(arguments: str = "", folder: Path = folders.base, **options: Any) -> Process:
        process = Process(folder, "base-0", Options(python=str(python), arguments=arguments, **options))
        stack.callback(process.close)
        return process

    with ExitStack() as stack:
        yield make


@pytest.fixture
def base(
    folders: Folders, python: Path, below: Callable[[], list[psutil.Process]], monkeypatch: pytest.MonkeyPatch
) -> Iterator[VllmBase]:
    """A base on a server of its own, which is started after `below` was."""
    monkeypatch.setattr(client, "PAUSES", (0.0, 0.0, 0.0))
    made = VllmBase(folders.base, options=Options(python=str(python)))
    yield made
    made.engine.close()


def test_a_server_is_started_as_asked_on_loopback_with_a_key_and_leaves_nothing(
    start: Callable[..., Process], below: Callable[[], list[psutil.Process]]
) -> None:
    process = start("--max-num-seqs 3", dtype="bfloat16", max_model_len=99, tensor_parallel=2, lora_rank=16)
    started = below()
    assert len(started) == 3 and process.ended is None
    assert process.url.startswith("http://127.0.0.1:") and len(process.api_key) == 32
    assert all(process.api_key not in " ".join(child.cmdline()) for child in started)
    told = process._last_lines()
    for part in (
        f"-m vllm.entrypoints.openai.api_server --model {process.folder / 'base-0'} --served-model-name base-0",
        "--host 127.0.0.1",
        "--enable-lora --max-lora-rank 16 --max-loras 4",
        "--generation-config vllm --max-logprobs -1 --skip-tokenizer-init",
        "--tensor-parallel-size 2 --pipeline-parallel-size 1 --dtype bfloat16 --max-model-len 99 --max-num-seqs 3",
    ):
        assert part in told
    process.close()
    assert still_running(child.pid for child in started) == [] and not process.folder.exists()


def test_a_server_is_given_the_models_own_files_alone(
    start: Callable[..., Process], folders: Folders, tmp_path: Path
) -> None:
    mine = tmp_path / "model"
    shutil.copytree(folders.base, mine)
    (mine / "tuned_lens.safetensors").touch()  # which vLLM would take for weights
    (mine / "card.yaml").touch()
    process = start(folder=mine)
    given = process.folder / "base-0"
    assert {path.name for path in given.iterdir()} == {path.name for path in folders.base.iterdir()}
    for path in given.iterdir():
        assert path.read_bytes() == (folders.base / path.name).read_bytes()


def test_a_server_that_does_not_stop_by_itself_is_killed() -> None:
    stubborn = (
        "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid(), flush=True); "
        "time.sleep(600)"
    )
    code = (
        "import sys; from audit_env.runtime.vllm import supervise; supervise.GRACE_SECONDS = 0.5; "
        f"sys.argv[1:] = [sys.executable, '-c', {stubborn!r}]; sys.exit(supervise.main())"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdin and supervisor.stdout
        started = int(supervisor.stdout.readline())
        supervisor.stdin.close()
        assert supervisor.wait(LONG) == 128 + signal.SIGKILL
    assert still_running([started]) == []


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT])
def test_a_server_ends_with_the_process_that_started_it(folders: Folders, python: Path, ending: signal.Signals) -> None:
    code = (
        "import os, signal, psutil\n"
        "from pathlib import Path\n"
        "from audit_env.runtime.vllm.options import Options\n"
        "from audit_env.runtime.vllm.process import Process\n"
        f"process = Process(Path({str(folders.base)!r}), 'base-0', Options(python={str(python)!r}))\n"
        "print(*(child.pid for child in psutil.Process().children(recursive=True)), flush=True)\n"
        f"os.killpg(0, {int(ending)})  # as a terminal does on Ctrl-C\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, start_new_session=True)
    assert done.returncode == -ending, done.stderr
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 3
    assert still_running(pids) == []


def test_ctrl_c_while_a_server_starts_leaves_nothing(
    start: Callable[..., Process], below: Callable[[], list[psutil.Process]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(url: str) -> bool:
        assert below()
        raise KeyboardInterrupt

    monkeypatch.setattr(process_module, "_healthy", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start("--sleep")
    assert below() == []


def test_a_server_that_cannot_start_tells_its_last_words(
    start: Callable[..., Process], below: Callable[[], list[psutil.Process]]
) -> None:
    with pytest.raises(ServerError, match=r"did not start: it ended with status 3; its log is (.|\n)*CUDA out of"):
        start("--break")
    assert below() == []


def test_a_server_that_never_answers_is_stopped(
    start: Callable[..., Process], below: Callable[[], list[psutil.Process]]
) -> None:
    with pytest.raises(ServerError, match=r"within 1 s \(AUDIT_ENV_VLLM_START_SECONDS\)"):
        start("--sleep", start_seconds=1)
    assert below() == []


def test_without_vllm_one_sentence_says_what_to_do(folders: Folders) -> None:
    with pytest.raises(ParameterError, match="set AUDIT_ENV_VLLM_PYTHON to the Python.*or AUDIT_ENV_VLLM_URL"):
        Process(folders.base, "base-0", Options())


def test_adapters_are_loaded_once_by_names_and_links_that_tell_nothing(base: VllmBase, folders: Folders) -> None:
    adapters = [base.adapter(folder) for folder in (*folders.adapters, folders.adapters[0])]
    assert adapters[0] is adapters[-1] and len({adapter.name for adapter in adapters}) == len(folders.adapters)
    assert base.engine._process is not None
    links = {link.name: link for link in base.engine._process.folder.iterdir() if link.is_symlink()}
    assert set(links) == {adapter.name for adapter in adapters}
    assert "adapter0" not in base.engine._process._last_lines()
    subject = VllmSubject("t-00000000", base, {"target": Casting(adapters[0]), "base": Casting()})
    assert run(subject.generate(TURNS))


def test_a_server_that_is_killed_is_a_clear_error(base: VllmBase, below: Callable[[], list[psutil.Process]]) -> None:
    subject = VllmSubject("t-00000000", base, {"target": Casting(), "base": Casting()})
    run(subject.generate(TURNS))
    process = base.engine._process
    assert process is not None
    started = [child.pid for child in below()]
    [server] = psutil.Process(process._supervisor.pid).children()
    server.send_signal(signal.SIGKILL)
    process._supervisor.wait(LONG)  # not psutil's, which would take the status away
    with pytest.raises(ServerError, match=r"is gone: it ended with status 137(.|\n)*inspect eval-retry"):
        run(subject.generate(TURNS))
    assert still_running(started) == []
    base.engine.close()
    assert (process.folder / "log").is_file()


def test_a_given_server_must_serve_the_base_and_the_adapters(folders: Folders) -> None:
    with Fake("other") as fake, pytest.raises(ServerError, match=r"does not serve the base.*--served-model-name base-"):
        VllmBase(folders.base, options=Options(url=fake.url))
    with pytest.raises(ServerError, match="is gone"):
        VllmBase(folders.base, options=Options(url=fake.url))


def test_a_missing_adapter_of_a_given_server_is_named_with_its_folder(folders: Folders) -> None:
    from audit_env.runtime.vllm.server import opaque

    with Fake(opaque("base", folders.base), api_key="k") as fake:
        with pytest.raises(ServerError, match="401"):
            VllmBase(folders.base, options=Options(url=fake.url))
        base = VllmBase(folders.base, options=Options(url=fake.url, api_key="k"))
        with pytest.raises(ServerError, match=r"--lora-modules adapter-[0-9a-f]{12}=.*adapter0"):
            base.adapter(folders.adapters[0])
        base.engine.close()
    assert os.listdir(folders.adapters[0])
