"""Run sets that go on after a stop, and leaderboards that can be checked."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from inspect_ai.log import list_eval_logs, read_eval_log, write_eval_log

from audit_env.analysis import leaderboard, load, runsets
from audit_env.cli import main
from audit_env.errors import ParameterError
from audit_env.tools.models import a_script_audits
from tests.analysis.conftest import GOLDEN, NAMED, game_log, hit, miss

ROOT = Path(__file__).parents[2]


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


def test_audits_in_phases_have_an_entry_for_each_verdict(tmp_path: Path) -> None:
    log = game_log([hit("flattery.a", affordance="black_box-then-grey_box")])
    assert log.samples and log.samples[0].scores
    interim = miss("flattery.a", affordance="black_box-then-grey_box: black_box")
    log.samples[0].scores["verdict"].metadata |= {"interims": [interim.model_dump(mode="json")]}  # type: ignore[operator]
    write_eval_log(log, str(tmp_path / "phases.eval"))
    entries = leaderboard.leaderboard([tmp_path]).entries
    assert [(one.affordance, one.clean_detection.rate, one.audits) for one in entries if one.clean_detection] == [
        ("black_box-then-grey_box", 1.0, 1),
        ("black_box-then-grey_box: black_box", 0.0, 1),
    ]


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
    with pytest.raises(ParameterError, match=r"field 'affordances'.*cannot be 'grey'; did you mean 'grey_box'"):
        runsets.read(path)
    path.write_text("affordances: [blind-then-chat]\nauditors: [{name: gpt, model: openai/gpt-5}, {name: a}]")
    with pytest.raises(ParameterError, match=r"field 'affordances'.*'a' is a script .* cannot play 'blind-then-chat'"):
        runsets.read(path)
    path.write_text("affordances: [blind]\nauditors: [{name: a}, {name: a}]")
    with pytest.raises(ParameterError, match="one name"):
        runsets.read(path)


@pytest.mark.usefixtures("shelved")
def test_what_is_coming_is_said_before_it_starts(tmp_path: Path) -> None:
    path = tmp_path / "auditors.yaml"
    path.write_text(
        "affordances: [blind, black_box]\nseeds: [0, 1]\nepochs: 2\ntargets: 3\nsets: [fruitfly]\n"
        "auditors: [{name: scripts}, {name: gpt, model: openai/gpt-5}]"
    )
    baselines = ROOT / "logs" / "baselines"
    scripts, gpt = runsets.foreseen(runsets.read(path), baselines)
    assert (scripts.audits, gpt.audits) == (3 * 2 * 2 * 2, 24)
    times = load(baselines).audits.groupby("affordance")["seconds"].median()
    assert scripts.seconds == pytest.approx(12 * (times["blind"] + times["black_box"]))
    assert gpt.seconds is None and scripts.cost is None
    done = run("run", str(path), "--dry-run", "--recorded", str(baselines))
    assert "gpt, 4 times: Cost with openai/gpt-5" in done.output and "scripts, " not in done.output
    assert done.exit_code == 0 and "unknown" in done.output and not (tmp_path / "logs").exists()


DIES = """
import os, signal
from pathlib import Path
from inspect_ai.solver import solver

@solver
def dies(played, at):
    async def solve(state, generate):
        with open(played, "a") as file:
            file.write(f"{state.sample_id}\\n")
        if len(Path(played).read_text().split()) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return state
    return solve
"""
"""Plays nothing, and kills its own process in the audit of a number."""


def test_a_run_set_that_was_killed_goes_on_and_nothing_is_run_twice(tmp_path: Path) -> None:
    (tmp_path / "dies.py").write_text(DIES)
    played, path, logs = tmp_path / "played", tmp_path / "auditors.yaml", tmp_path / "logs"
    solver = f"solver: {tmp_path / 'dies.py'}@dies, solver_args: {{played: {played}, at: 2}}"
    text = f"affordances: [blind]\nsets: [fruitfly_dev]\ntargets: 3\nauditors: [{{name: a, {solver}}}]\n"
    path.write_text(text)
    one_by_one = (
        "import sys; from pathlib import Path; from audit_env.analysis import runsets; "
        "list(runsets.run(runsets.read(sys.argv[1]), Path(sys.argv[2]), display='none', max_samples=1))"
    )
    killed = subprocess.run([sys.executable, "-c", one_by_one, str(path), str(logs)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL and len(played.read_text().split()) == 2
    [half] = list_eval_logs(str(logs))
    assert "half-written" in load(logs).skipped[0].why

    done = run("run", str(path), "--logs", str(logs), "--yes", "--display", "none", "--recorded", "none")
    assert done.exit_code == 0, done.output
    first, broken, *rest = played.read_text().split()
    assert first not in rest and sorted({broken, *rest}) == sorted(rest) and len(rest) == 2
    frames = load(logs)
    assert sorted(frames.audits["sample"]) == sorted({first, *rest}) and list(frames.logs["samples"]) == [3]
    assert [(Path(half.name).name, "later or equal attempt" in one.why) for one in frames.skipped] == [
        (frames.skipped[0].log, True)
    ]

    path.write_text(text + "seeds: [0, 1]")
    assert list(runsets.run(runsets.read(path), logs, display="none")) == [("a", True)]
    assert not a_script_audits(), "what was run last decides for which auditor the next tasks are made"
    frames = load(logs)
    assert sorted(frames.logs["seed"]) == [0, 1] and len(frames.audits) == 6 and len(played.read_text().split()) == 7


def test_a_solver_that_cannot_be_made_is_refused_before_anything_runs(tmp_path: Path) -> None:
    path = tmp_path / "auditors.yaml"
    path.write_text(
        "affordances: [blind]\nauditors: [{name: a}, {name: b, solver: agents/scripted.py@acts, solver_args: {x: 1}}]"
    )
    with pytest.raises(ParameterError, match=r"solver 'agents/scripted\.py@acts' of auditor 'b' cannot be made"):
        next(runsets.run(runsets.read(path), tmp_path / "logs", display="none"))
    assert not (tmp_path / "logs").exists()
