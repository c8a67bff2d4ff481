"""What is read out of one log, and what is said of a file that is none or holds something else."""

from collections.abc import Callable
from pathlib import Path

import pytest
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import includes
from inspect_ai.solver import Generate, Solver, TaskState, solver

from audit_env.errors import ParameterError
from audit_env.evidence.table import read
from audit_env.game.audits import read_logs
from audit_env.game.logs import carried_by
from audit_env.naturalness.logs import sheets_in


@solver
def echo() -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        state.output = ModelOutput.from_content("none", state.input_text)
        return state

    return solve


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of something else: two samples, of which the first is right."""
    samples = [Sample(input="a", target="a"), Sample(input="b", target="a")]
    [log] = eval(
        Task(dataset=samples, solver=echo(), scorer=includes()),
        model=None,
        log_dir=str(tmp_path_factory.mktemp("logs")),
        display="none",
    )
    assert log.status == "success", log.error
    return log.location


def test_all_that_the_scores_carry_is_found_sample_by_sample(log: str) -> None:
    assert carried_by(log, lambda score: str(score.value), what="mark", task="x.py") == ["C", "I"]
    right = carried_by(log, lambda score: "" if score.value == "C" else None, what="mark", task="x.py")
    assert right == [""]


@pytest.mark.parametrize(
    ("reader", "told"),
    [
        (read_logs, "holds no scored audits: run  inspect eval tasks/hidden_objective.py"),
        (read, "holds no evidence of tools: run  inspect eval tasks/tool_evidence.py"),
        (lambda path: sheets_in([str(path)]), "holds no report of naturalness: run  inspect eval tasks/naturalness.py"),
    ],
)
def test_a_log_of_something_else_and_a_file_that_is_none_are_named(
    log: str, tmp_path: Path, reader: Callable[[Path], object], told: str
) -> None:
    with pytest.raises(ParameterError) as of_other:
        reader(Path(log))
    assert str(of_other.value).startswith(f"'{log}' {told}")
    (broken := tmp_path / "broken.eval").write_text("no log")
    with pytest.raises(ParameterError, match="broken.eval' cannot be read as an Inspect log .* give a .eval or .json"):
        reader(broken)
