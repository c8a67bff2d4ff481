import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from audit_env.cli import main


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_help_teaches() -> None:
    told = run("--help")
    assert told.exit_code == 0
    for command in (
        "bench",
        "breed",
        "cache",
        "estimate",
        "evidence",
        "organisms",
        "report",
        "results",
        "session",
        "inspect eval",
    ):
        assert command in told.output
    assert "audit-env results logs" in run("results", "--help").output
    assert "audit-env report logs" in run("report", "--help").output
    assert "audit-env bench run" in run("bench", "--help").output


@pytest.mark.parametrize("command", [["--help"], ["organisms", "--help"], ["organisms", "list"]])
def test_torch_is_not_loaded_to_read(command: list[str]) -> None:
    program = f"import sys, audit_env.cli as c; c.main({command}, standalone_mode=False); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_what_is_wrong_is_one_sentence_and_status_1(tmp_path: Path) -> None:
    missing = run("results", str(tmp_path / "missing.eval"))
    assert missing.exit_code == 1 and "does not exist" in missing.stderr
    assert missing.stderr.count("\n") == 1 and "Traceback" not in missing.output


def test_what_is_not_understood_is_status_2() -> None:
    assert run("organisms", "lst").exit_code == 2
    assert run("organisms", "list", "--standing", "wild").exit_code == 2
