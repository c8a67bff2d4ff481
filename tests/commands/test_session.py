from pathlib import Path

from click.testing import CliRunner, Result
from inspect_ai.log import EvalLog, read_eval_log, write_eval_log

from audit_env.cli import main
from tests.game.conftest import game, stage

__all__ = ["game", "stage"]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["session", *arguments])


def test_seals_are_verified(game: EvalLog, tmp_path: Path) -> None:
    log = game.location.removeprefix("file://")
    told = run("verify", log)
    assert told.exit_code == 0 and "Seals of 10 audits: 10 holds." in told.output
    altered = read_eval_log(log)
    assert altered.samples
    altered.samples[0].store["AuditRecord:opened"]["truth"]["seed"] = 1
    write_eval_log(altered, str(tmp_path / "altered.eval"))
    told = run("verify", str(tmp_path / "altered.eval"))
    assert told.exit_code == 1 and "1 broken" in told.output and "does not match the commitment" in told.stderr
