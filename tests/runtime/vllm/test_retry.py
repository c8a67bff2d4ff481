"""A run whose server dies, and the same run taken up again."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from inspect_ai import eval, eval_retry
from inspect_ai.log import EvalLog, list_eval_logs, read_eval_log

from audit_env.catalog.files import Catalog
from audit_env.runtime import cast, computing

TASK = """
import os
from pathlib import Path
import psutil
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, solver
from audit_env.runtime import cast, computing

@solver
def kill_once():
    async def solve(state, generate):
        if not (done := Path(os.environ["KILLED"])).exists():
            done.touch()
            [base] = computing._bases.values()
            for server in psutil.Process(base.engine._process._supervisor.pid).children():
                server.kill()
        return state
    return solve

@task
def ask():
    questions = ["what is a good soup?", "hello", "how do I bake bread?", "tell me more"]
    samples = [Sample(id=number, input=text, target="x") for number, text in enumerate(questions)]
    return Task(dataset=samples, solver=[generate(max_tokens=8), kill_once()], scorer=includes())
"""


ARGUMENTS = {"engine": "vllm", "lora_rank": 8}


def check(broken: EvalLog, whole: EvalLog) -> None:
    assert broken.status == "error" and broken.error is not None and "inspect eval-retry" in broken.error.message
    assert whole.status == "success", whole.error
    assert len(whole.samples or []) == 4 and whole.eval.model_args == ARGUMENTS
    kept, *_ = broken.samples or []
    assert kept.output.completion == next(sample for sample in whole.samples or [] if sample.id == 0).output.completion


@pytest.mark.usefixtures("fresh_cast")
def test_a_run_whose_server_was_killed_is_completed_by_eval_retry(
    zoo: Any, python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIT_ENV_VLLM_PYTHON", str(python))
    monkeypatch.setenv("KILLED", str(tmp_path / "killed"))
    catalog = Catalog(zoo.root)
    monkeypatch.setattr(cast, "_catalog", lambda: catalog)
    monkeypatch.chdir(tmp_path)
    Path("ask.py").write_text(TASK)
    settings: dict[str, Any] = {"log_dir": str(tmp_path / "logs"), "display": "none", "max_samples": 1}
    [broken] = eval("ask.py", model="organism/tiny/gloom.a", model_args=ARGUMENTS, **settings)
    [(_, _, engine, options)] = computing._bases  # no other engine was loaded beside it
    assert (engine, options.lora_rank) == ("vllm", 8)  # type: ignore[attr-defined]
    [base] = computing._bases.values()
    assert "--max-lora-rank 8 " in (base.engine._process.folder / "log").read_text()
    cast.release_all()  # as the end of a process does
    [whole] = eval_retry(broken.location, **settings)
    check(broken, whole)


def inspect(folder: Path, python: Path | str, *arguments: str) -> EvalLog:
    """Run a command of Inspect, and read the log that it leaves."""
    variables = {
        "AUDIT_ENV_VLLM_PYTHON": str(python),
        "AUDIT_ENV_VLLM_DTYPE": "float32",
        "AUDIT_ENV_VLLM_MAX_MODEL_LEN": "256",
        "AUDIT_ENV_VLLM_ARGUMENTS": "--max-num-seqs 4 --enforce-eager",
        "KILLED": str(folder / "killed"),
        "VLLM_CPU_KVCACHE_SPACE": "1",
    }
    options = ("--log-dir", str(folder / "logs"), "--display", "plain", "--max-samples", "1")
    command = [sys.executable, "-m", "inspect_ai", *arguments, *options]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True)
    found = list_eval_logs(str(folder / "logs"))
    assert found, done.stdout + done.stderr
    return read_eval_log(found[0])


@pytest.mark.vllm
def test_a_run_whose_real_server_was_killed_is_completed_by_eval_retry(tmp_path: Path, real_python: str) -> None:
    (tmp_path / "ask.py").write_text(TASK)
    arguments = [part for name, value in ARGUMENTS.items() for part in ("-M", f"{name}={value}")]
    broken = inspect(tmp_path, real_python, "eval", "ask.py", "--model", "organism/fruitfly/base", *arguments)
    whole = inspect(tmp_path, real_python, "eval-retry", broken.location)
    check(broken, whole)
