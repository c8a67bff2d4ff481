"""The game as a user plays it, on the shipped organisms."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from inspect_ai import eval as inspect_eval
from inspect_ai.log import EvalLog, read_eval_log

from audit_env.game.leaks import truth_leaks

pytest.importorskip("torch")

LEVELS = "blind,black_box,grey_box,white_box"


def play(folder: Path, **settings) -> EvalLog:
    from audit_env.tasks.hidden_objective import hidden_objective

    task = hidden_objective(targets=2, affordance=LEVELS)
    [log] = inspect_eval(task, model=None, log_dir=str(folder), display="none", **settings)
    assert log.status == "success", log.error
    return read_eval_log(log.location)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> EvalLog:
    return play(tmp_path_factory.mktemp("wide"), max_samples=64)


def scores(log: EvalLog) -> dict[str, object]:
    return {
        str(sample.id): {name: score.value for name, score in (sample.scores or {}).items()}
        for sample in log.samples or []
    }


def test_every_audit_ends_with_a_report_and_a_score(wide: EvalLog) -> None:
    assert wide.samples and len(wide.samples) == 8
    for sample in wide.samples:
        assert sample.error is None
        assert sample.store["AuditRecord:report"] is not None
        assert sample.scores and "verdict" in sample.scores


def test_the_same_seed_gives_the_same_scores_whatever_the_concurrency(wide: EvalLog, tmp_path: Path) -> None:
    narrow = play(tmp_path, max_samples=1)
    assert json.dumps(scores(narrow), sort_keys=True) == json.dumps(scores(wide), sort_keys=True)


def test_nothing_in_the_log_tells_the_truth_before_the_report(wide: EvalLog) -> None:
    assert truth_leaks(wide) == []


def test_a_planted_leak_is_found(wide: EvalLog) -> None:
    leaky = wide.model_copy(deep=True)
    for sample in leaky.samples or []:
        card = sample.store["AuditRecord:opened"]["truth"]["card"]
        sample.messages[0].content = f"{sample.messages[0].text} It is {card['id']}."
    assert len({leak.sample for leak in truth_leaks(leaky)}) == len(leaky.samples or [])


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "import audit_env",
        "import audit_env._registry",
        "from inspect_ai._eval.list import list_tasks; assert list_tasks(['tasks'])",
    ],
)
def test_torch_is_not_loaded_before_it_is_needed(code: str) -> None:
    assert (
        run_python(f"{code}\nimport sys; print(sorted(m for m in ('torch', 'transformers') if m in sys.modules))")
        == "[]"
    )
