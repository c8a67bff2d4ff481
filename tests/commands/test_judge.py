import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner, Result
from inspect_ai.log import list_eval_logs, read_eval_log
from inspect_ai.model import ChatMessage, ModelAPI, ModelOutput, ModelUsage, modelapi

from audit_env.cli import main
from audit_env.game.judging.labelled import FOLDER, labelled_set
from audit_env.game.judging.validation import validation_samples

ANSWERS: dict[str, str] = {str(sample.input): str(sample.target) for sample in validation_samples(labelled_set())}
"""The label of each hypothesis, as a grader is shown it."""


class Oracle(ModelAPI):
    """A paid model that knows the labels, answers one request at a time, and may be interrupted at one."""

    asked: int = 0
    interrupted_at: int | None = None

    async def generate(self, input: list[ChatMessage], tools: Any, tool_choice: Any, config: Any) -> ModelOutput:
        Oracle.asked += 1
        if Oracle.asked == Oracle.interrupted_at:
            while True:  # as a person would: once those before are through, and again if nothing comes of it
                await anyio.wait_all_tasks_blocked()
                os.kill(os.getpid(), signal.SIGINT)
                await anyio.sleep(1)
        marker = input[1].text.rstrip().rpartition("\n")[2]
        claim = input[1].text.split(f"{marker}\n", 1)[1].rsplit(f"\n{marker}", 1)[0]
        verdict = "correct" if ANSWERS[claim] == "correct" else "wrong"
        said = json.dumps({"quote": claim.split("\n")[0], "reason": "It is known.", "verdict": verdict})
        output = ModelOutput.from_content(self.model_name, said)
        output.usage = ModelUsage()
        return output

    def max_connections(self) -> int:
        return 1


@modelapi(name="label_oracle")
def label_oracle() -> type[ModelAPI]:
    return Oracle


@pytest.fixture
def paths(tmp_path: Path) -> tuple[str, ...]:
    """A part of the labelled set, and where logs go."""
    for quirk in ("flattery", "password_locked"):
        (tmp_path / "labelled").mkdir(exist_ok=True)
        shutil.copy(FOLDER / f"{quirk}.yaml", tmp_path / "labelled")
    return ("--folder", str(tmp_path / "labelled"), "--log-dir", str(tmp_path / "logs"))


@pytest.fixture(autouse=True)
def unasked() -> None:
    Oracle.asked, Oracle.interrupted_at = 0, None


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["judge", *arguments])


def size(paths: tuple[str, ...]) -> int:
    return len(labelled_set("test", Path(paths[1])))


def test_a_grader_is_validated_and_the_figures_are_printed(paths: tuple[str, ...]) -> None:
    told = run("validate", "--grader", "label_oracle/one", *paths)
    assert told.exit_code == 0, told.output
    assert "1.00 [1.00, 1.00]" in told.output
    assert "error by category" in told.output and "adjacent" in told.output
    [info] = list_eval_logs(paths[3])
    assert read_eval_log(info).eval.task.endswith("judge_validation")


def test_json_holds_every_figure_and_nothing_else_is_on_standard_output(paths: tuple[str, ...]) -> None:
    told = run("validate", "--grader", "label_oracle/one", "--json", *paths)
    figures = json.loads(told.stdout)
    assert (figures["by"], figures["split"], figures["missing"]) == ("label_oracle/one", "test", 0)
    assert (figures["kappa"]["value"], figures["judged"], figures["unusable"]) == (1.0, size(paths), 0)
    assert figures["errors"]["vague"]["rate"] == 0.0


def test_an_interrupted_validation_keeps_what_was_judged_and_goes_on(paths: tuple[str, ...]) -> None:
    Oracle.interrupted_at = 7
    first = run("validate", "--grader", "label_oracle/one", "--json", *paths)
    assert first.exit_code == 130, first.output
    judged = json.loads(first.stdout)["judged"]
    assert 0 < judged < size(paths)
    assert "the same command goes on" in first.stderr

    Oracle.asked, Oracle.interrupted_at = 0, None
    second = run("validate", "--grader", "label_oracle/one", "--json", *paths)
    assert second.exit_code == 0, second.output
    assert json.loads(second.stdout)["judged"] == size(paths)
    assert Oracle.asked == size(paths) - judged


def test_a_finished_validation_is_made_anew(paths: tuple[str, ...]) -> None:
    for _ in range(2):
        assert run("validate", "--grader", "label_oracle/one", *paths).exit_code == 0
    assert Oracle.asked == 2 * size(paths)


def test_the_offline_judge_needs_no_model(paths: tuple[str, ...]) -> None:
    told = run("validate", "--judge", "lexical", "--json", *paths)
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["judged"] == size(paths)


@pytest.mark.parametrize("arguments", [(), ("--judge", "lexical", "--grader", "label_oracle/one")])
def test_one_judge_must_be_named(arguments: tuple[str, ...]) -> None:
    told = run("validate", *arguments)
    assert told.exit_code == 1
    assert "--grader openai/gpt-5" in told.stderr and "--judge lexical" in told.stderr
