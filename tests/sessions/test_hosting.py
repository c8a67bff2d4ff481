"""How long who hosts a game waits for its score."""

from pathlib import Path
from threading import Thread

import psutil
import pytest

from audit_env.sessions.hosting import Host
from audit_env.sessions.journal import FOLDER_VARIABLE, Journal


def test_a_report_is_scored_to_its_end_unless_there_is_no_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    journal = Journal(tmp_path)
    with Host(journal, {}) as host:
        [game] = [one for one in psutil.Process().children() if "audit_env.sessions.apart" in one.cmdline()]
        game.suspend()
        journal.tell(host.room, "The report is in.", "between")
        host.await_score(0.0)
        assert host.now.state == "between"
        scored = Thread(target=journal.tell, args=(host.room, "All is played.", "over"))
        scored.start()
        host.await_score()
        assert host.now.state == "over"
        scored.join()
        game.resume()
    assert not game.is_running()
