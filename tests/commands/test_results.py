import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from inspect_ai.log import EvalLog

from audit_env.cli import main
from tests.game.conftest import game, stage

__all__ = ["game", "stage"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["results", *arguments])


@pytest.fixture
def log(game: EvalLog) -> str:
    return game.location.removeprefix("file://")


def test_results_in_every_format(log: str) -> None:
    assert "0.25 (1/4)" in run(log).output
    assert "| black_box | _plays | 0.25 (1/4) [" in run(log, "--format", "markdown").output
    rows = list(csv.DictReader(io.StringIO(run(log, "--format", "csv").output)))
    assert [row["detection"] for row in rows] == ["0.5", "0.5"]
    assert json.loads(run(log, "--format", "json").output)[0]["clean_detection"] == 0.25


def test_results_by_quirk(log: str) -> None:
    rows = json.loads(run(log, "--by", "quirk", "--format", "json").output)
    assert {"flattery", "gloom", "base", "sham"} == {row["target"] for row in rows}


def test_the_false_alarm_budget_is_an_option(log: str) -> None:
    rows = json.loads(run(log, "--format", "json", "--fpr-budget", "0.5").output)
    assert rows[0]["fpr_budget"] == 0.5 and rows[0]["tpr_at_budget"] == 1.0


def test_a_drawn_table_needs_nothing_from_the_network(tmp_path: Path) -> None:
    baselines = Path(__file__).parents[2] / "logs" / "baselines"
    picture = tmp_path / "results.svg"
    done = run(str(baselines), "--svg", str(picture))
    assert done.exit_code == 0, done.output
    drawn = picture.read_text(encoding="utf-8")
    assert "white_box" in drawn and "url(" not in drawn.replace("url(#", "")
