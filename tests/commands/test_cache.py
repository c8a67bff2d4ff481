import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from audit_env.cli import main
from audit_env.runtime.answers import Answers
from audit_env.runtime.subject import Sample


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Answers:
    monkeypatch.setenv("AUDIT_ENV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("AUDIT_ENV_CACHE", raising=False)
    return Answers.from_environment()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["cache", *arguments])


def shown() -> dict[str, object]:
    told = run("show", "--json")
    assert told.exit_code == 0, told.output
    found: dict[str, object] = json.loads(told.output)
    return found


def test_an_empty_cache_is_shown_and_not_made(kept: Answers) -> None:
    assert shown() == {"path": str(kept.path), "keep": "greedy", "answers": 0, "bytes": 0, "most_bytes": kept.most}
    assert run("clear").output == "0 answers were thrown away.\n"
    assert not kept.path.exists()


def test_what_is_kept_is_shown_and_cleared(kept: Answers) -> None:
    for number in range(3):
        asyncio.run(kept.put(bytes([number] * 32), Sample("hello", (1,), "stop", 4)))
    assert shown()["answers"] == 3 and shown()["bytes"] == kept.path.stat().st_size
    told = run("show").output
    assert str(kept.path) in told and "3 answers" in told and "'greedy'" in told
    assert run("clear").output == "3 answers were thrown away.\n"
    assert shown()["answers"] == 0


def test_a_cache_that_is_off_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIT_ENV_CACHE", "off")
    assert "AUDIT_ENV_CACHE is 'off'" in run("show").output


def test_a_damaged_file_is_told_in_one_sentence_and_cleared(kept: Answers) -> None:
    kept.path.parent.mkdir()
    kept.path.write_bytes(b"no database at all" * 100)
    told = run("show")
    assert told.exit_code == 1 and told.stderr.count("\n") == 1 and "audit-env cache clear" in told.stderr
    assert run("clear").exit_code == 0
    assert shown()["answers"] == 0


def test_a_wrong_setting_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDIT_ENV_CACHE", "maybe")
    told = run("show")
    assert told.exit_code == 1 and "set it to one of greedy, all, off" in told.stderr


def test_torch_is_not_loaded() -> None:
    call = "c.main(['cache', 'show'], standalone_mode=False)"
    program = f"import sys, audit_env.cli as c; {call}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
