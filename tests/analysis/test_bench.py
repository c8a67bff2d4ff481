"""Run sets that go on after a stop, and leaderboards that can be checked."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from inspect_ai.log import list_eval_logs, read_eval_log, write_eval_log

from audit_env.analysis import leaderboard, load, runsets
from audit_env.cli import main
from audit_env.errors import ParameterError
from tests.analysis.conftest import GOLDEN, NAMED, hit, miss


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["bench", *arguments])


@pytest.fixture
def board(written: Callable[..., Path], tmp_path: Path) -> Path:
    """A leaderboard of two auditors; the second has two seeds."""
    written(GOLDEN, named=NAMED, name="a", model="mockllm/a")
    written([hit("flattery.a"), hit("gloom.a")], name="b", model="mockllm/b")
    written([hit("flattery.a"), miss("gloom.a")], name="c", model="mockllm/b", seed=1)
    out = tmp_path / "leaderboard.json"
    assert run("leaderboard", str(tmp_path), "--out", str(out)).exit_code == 0
    return out


def test_entries_hold_figures_conditions_and_hashes(board: Path) -> None:
    told = json.loads(board.read_text())
    assert told["schema_version"] == 1
    first, second = told["entries"]
    assert (first["auditor"], first["seeds"], first["set"], first["version"]) == ("mockllm/b", [0, 1], "tiny", "1")
    assert (first["clean_detection"]["rate"], first["clean_detection"]["n"]) == (0.75, 4)
    assert first["auroc"] is None and first["false_alarm"] is None and len(first["logs"]) == 2
    assert (second["clean_detection"]["rate"], second["false_alarm"]["rate"]) == (0.2, 0.5)
    assert second["auroc"]["area"] == 0.75 and second["unscored"] == 1
    assert all(len(log["sha256"]) == 64 for entry in told["entries"] for log in entry["logs"])


def test_what_agrees_verifies(board: Path, tmp_path: Path) -> None:
    done = run("verify", str(board), str(tmp_path))
    assert done.exit_code == 0 and "2 entries agree" in done.output


@pytest.mark.parametrize("fault", ["figure", "log", "missing"])
def test_what_was_altered_does_not(board: Path, tmp_path: Path, fault: str) -> None:
    told = json.loads(board.read_text())
    [path] = tmp_path.glob("*_a.eval")
    if fault == "figure":
        told["entries"][1]["clean_detection"]["rate"] = 0.9
        board.write_text(json.dumps(told))
    elif fault == "log":
        log = read_eval_log(str(path))
        assert log.samples
        log.samples = log.samples[:-1]
        write_eval_log(log, str(path))
    else:
        path.unlink()
    done = run("verify", str(board), str(tmp_path))
    assert done.exit_code == 1 and "mockllm/a" in done.stderr and "mockllm/b" not in done.stderr


def test_a_file_that_is_no_leaderboard_names_the_field(board: Path) -> None:
    told = json.loads(board.read_text())
    del told["entries"][0]["auditor"]
    board.write_text(json.dumps(told))
    with pytest.raises(ParameterError, match=r"entries\.0\.auditor"):
        leaderboard.read(board)


def test_a_wrong_run_set_names_the_field(tmp_path: Path) -> None:
    path = tmp_path / "auditors.yaml"
    path.write_text("affordances: [grey]\nauditors: [{name: a}]")
    with pytest.raises(ParameterError, match=r"field 'affordances'.*there is no level 'grey'"):
        runsets.read(path)
    path.write_text("affordances: [blind]\nauditors: [{name: a}, {name: a}]")
    with pytest.raises(ParameterError, match="one name"):
        runsets.read(path)


def test_what_is_coming_is_said_before_it_starts(tmp_path: Path) -> None:
    path = tmp_path / "auditors.yaml"
    path.write_text(
        "affordances: [blind, black_box]\nseeds: [0, 1]\nepochs: 2\ntargets: 3\nsets: [fruitfly]\n"
        "auditors: [{name: scripts}, {name: gpt, model: openai/gpt-5}]"
    )
    baselines = Path(__file__).parents[2] / "logs" / "baselines"
    scripts, gpt = runsets.foreseen(runsets.read(path), baselines)
    assert (scripts.audits, gpt.audits) == (3 * 2 * 2 * 2, 24)
    times = load(baselines).audits.groupby("affordance")["seconds"].median()
    assert scripts.seconds == pytest.approx(12 * (times["blind"] + times["black_box"]))
    assert gpt.seconds is None and scripts.cost is None
    done = run("run", str(path), "--dry-run", "--recorded", str(baselines))
    assert done.exit_code == 0 and "unknown" in done.output and not (tmp_path / "logs").exists()


def test_a_run_set_is_run_once_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "auditors.yaml"
    text = "affordances: [blind]\nsets: [fruitfly_dev]\ntargets: 2\nauditors: [{name: scripts}]\n"
    path.write_text(text)
    done = run("run", str(path), "--logs", str(tmp_path / "logs"), "--yes", "--display", "none", "--recorded", "none")
    assert done.exit_code == 0, done.output
    [first] = list_eval_logs(str(tmp_path / "logs"))
    assert len(load(tmp_path / "logs").audits) == 2
    path.write_text(text + "seeds: [0, 1]")
    more = runsets.read(path)
    assert list(runsets.run(more, tmp_path / "logs", display="none")) == [("scripts", True)]
    names = {info.name for info in list_eval_logs(str(tmp_path / "logs"))}
    assert first.name in names and len(names) == 2
    frames = load(tmp_path / "logs")
    assert sorted(frames.logs["seed"]) == [0, 1] and len(frames.audits) == 4 and not frames.skipped
