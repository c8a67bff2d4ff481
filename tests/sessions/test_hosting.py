"""How long who hosts a game waits for its score."""

import os
import time
from pathlib import Path
from threading import Thread

import psutil
import pytest

from audit_env.sessions.hosting import Host
from audit_env.sessions.journal import FOLDER_VARIABLE, Journal


def test_a_report_is_scored_to_its_end_unless_there_is_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "journal"))
    # The game stands still before its first line. One that is suspended may hold the journal, or be over already.
    (tmp_path / "sitecustomize.py").write_text("import signal\nsignal.pause()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    journal, before = Journal(tmp_path / "journal"), set(psutil.Process().children())
    with Host(journal, {}) as host:
        [game] = set(psutil.Process().children()) - before
        journal.tell(host.room, "The report is in.", "between")
        host.await_score(0.0)
        assert host.now.state == "between"
        scored = Thread(target=journal.tell, args=(host.room, "All is played.", "over"))
        scored.start()
        host.await_score()
        assert host.now.state == "over"
        scored.join()
        while not (command := game.cmdline()):  # as long as the new program is not all there
            time.sleep(0.01)
        assert "audit_env.sessions.apart" in command
    assert not game.is_running()
