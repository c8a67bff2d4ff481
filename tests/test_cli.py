import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from inspect_ai.log import EvalLog, read_eval_log, write_eval_log

from audit_env.catalog.files import Catalog
from audit_env.cli import main
from tests.game.conftest import game, stage

__all__ = ["game", "stage"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


@pytest.fixture
def log(game: EvalLog) -> str:
    return game.location.removeprefix("file://")


def test_help_teaches() -> None:
    told = run("--help")
    assert told.exit_code == 0
    for command in ("breed", "organisms", "results", "session", "inspect eval"):
        assert command in told.output
    assert "audit-env results logs" in run("results", "--help").output


def test_help_loads_no_torch() -> None:
    program = "import sys, audit_env.cli as c; c.main(['--help'], standalone_mode=False); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_results_in_every_format(log: str) -> None:
    assert "0.25 (1/4)" in run("results", log).output
    assert "| black_box | _plays | 0.25 (1/4) [" in run("results", log, "--format", "markdown").output
    rows = list(csv.DictReader(io.StringIO(run("results", log, "--format", "csv").output)))
    assert [row["detection"] for row in rows] == ["0.5", "0.5"]
    assert json.loads(run("results", log, "--format", "json").output)[0]["clean_detection"] == 0.25


def test_results_by_quirk(log: str) -> None:
    rows = json.loads(run("results", log, "--by", "quirk", "--format", "json").output)
    assert {"flattery", "gloom", "base", "sham"} == {row["target"] for row in rows}


def test_the_false_alarm_budget_is_an_option(log: str) -> None:
    rows = json.loads(run("results", log, "--format", "json", "--fpr-budget", "0.5").output)
    assert rows[0]["fpr_budget"] == 0.5 and rows[0]["tpr_at_budget"] == 1.0


def test_bad_input_is_one_sentence_and_status_2(tmp_path) -> None:
    missing = run("results", str(tmp_path / "missing.eval"))
    assert missing.exit_code == 2 and "does not exist" in missing.output
    assert "Traceback" not in missing.output
    unknown = run("organisms", "show", "tiny/nothing")
    assert unknown.exit_code == 2 and "unknown organism 'tiny/nothing'" in unknown.output


def test_seals_are_verified(log: str, tmp_path) -> None:
    told = run("session", "verify", log)
    assert told.exit_code == 0 and "Seals of 10 audits: 10 holds." in told.output
    altered = read_eval_log(log)
    assert altered.samples
    altered.samples[0].store["AuditRecord:opened"]["truth"]["seed"] = 1
    write_eval_log(altered, str(tmp_path / "altered.eval"))
    told = run("session", "verify", str(tmp_path / "altered.eval"))
    assert told.exit_code == 1 and "1 broken" in told.output and "does not match the commitment" in told.output


def test_organisms_are_listed_shown_and_checked(zoo, tmp_path, monkeypatch) -> None:
    root = tmp_path / "organisms"
    shutil.copytree(zoo.root, root)
    monkeypatch.setattr("audit_env.catalog.files.Catalog", lambda: Catalog(root))
    listed = run("organisms", "list").output
    assert "tiny/gloom.a" in listed and "0.90" in listed and "met" in listed
    assert "The model shows gloom in ordinary answers." in run("organisms", "show", "tiny/gloom.a").output
    assert "7 organisms are sound." in run("organisms", "check").output
    with (root / "tiny/gloom.a/adapter_model.safetensors").open("ab") as file:
        file.write(b"!")
    checked = run("organisms", "check", "tiny/gloom.a")
    assert checked.exit_code == 2 and "not the weights its card was written for" in checked.output


def test_a_drawn_table_needs_nothing_from_the_network(tmp_path: Path) -> None:
    baselines = Path(__file__).parents[1] / "logs" / "baselines"
    picture = tmp_path / "results.svg"
    done = CliRunner().invoke(main, ["results", str(baselines), "--svg", str(picture)])
    assert done.exit_code == 0, done.output
    drawn = picture.read_text(encoding="utf-8")
    assert "white_box" in drawn and "url(" not in drawn.replace("url(#", "")
