"""Every kind of tampering with a real session, by a referee who may rewrite the whole ledger after it."""

import json
import sqlite3
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from inspect_ai.log import read_eval_log, write_eval_log

from audit_env.catalog.files import Catalog
from audit_env.catalog.seal import commit, report_hash
from audit_env.sessions.referee.checking import Checked, check
from audit_env.sessions.referee.ledger import Ledger
from audit_env.sessions.referee.state import LOG, SEALED
from tests.sessions.referee.conftest import Played, copied, run

Change = Callable[["Forger"], None]


class Forger:
    """Who has the file of a session to themselves.

    Args:
        file: The file.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def kept(self, name: str) -> Any:
        with closing(sqlite3.connect(self.file)) as base:
            [packed] = base.execute("SELECT packed FROM kept WHERE name = ?", (name,)).fetchone()
        return zlib.decompress(packed)

    def keep(self, name: str, content: bytes) -> None:
        self._do("INSERT OR REPLACE INTO kept VALUES (?, ?)", name, zlib.compress(content))

    def reseal(self, change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Change what is sealed."""
        sealed: dict[str, Any] = json.loads(self.kept(SEALED))
        change(sealed)
        self.keep(SEALED, json.dumps(sealed).encode())
        return sealed

    def entry(self, event: str, change: Callable[[dict[str, Any]], None], last: bool = False) -> None:
        """Change the first or the last entry of a kind."""
        with closing(sqlite3.connect(self.file)) as base:
            rows = base.execute("SELECT number, about FROM entry WHERE event = ? ORDER BY number", (event,)).fetchall()
        number, about = rows[-1 if last else 0]
        told = json.loads(about)
        change(told)
        self._do("UPDATE entry SET about = ? WHERE number = ?", json.dumps(told), number)

    def drop(self, event: str, about: str = "") -> None:
        """Take out the first entry of a kind, or the first of them that has a text in it."""
        first = "SELECT min(number) FROM entry WHERE event = ? AND instr(about, ?)"
        self._do(f"DELETE FROM entry WHERE number = ({first})", event, about)

    def chain_again(self) -> None:
        """Number and hash all entries anew."""
        before = ""
        with closing(sqlite3.connect(self.file)) as base:
            rows = base.execute("SELECT number, at, event, about FROM entry ORDER BY number").fetchall()
            base.execute("DELETE FROM entry")
            for number, (_, at, event, about) in enumerate(rows, start=1):
                before = commit({"number": number, "at": at, "event": event, "about": json.loads(about)}, before)
                base.execute("INSERT INTO entry VALUES (?, ?, ?, ?, ?)", (number, at, event, about, before))
            base.commit()

    def _do(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.file)) as base:
            base.execute(statement, values)
            base.commit()


def truth(forger: Forger) -> None:
    forger.reseal(lambda sealed: sealed["truths"][0]["payload"]["card"].update(notes="changed"))


def seed(forger: Forger) -> None:
    forger.reseal(lambda sealed: sealed["draw"]["payload"].update(seed=8))


def order(forger: Forger) -> None:
    forger.reseal(lambda sealed: sealed["draw"]["payload"]["teams"]["people"]["order"].reverse())


def rubric(forger: Forger) -> None:
    def swap(sealed: dict[str, Any]) -> None:
        quirks = sealed["rubric"]["payload"]["quirks"]
        quirks["animal_welfare"] = quirks["flattery"]

    forger.reseal(swap)


def report(forger: Forger) -> None:
    forger.entry("handed_in", lambda told: told["report"].update(p_quirk=0.99))


def report_and_hash(forger: Forger) -> None:
    def change(told: dict[str, Any]) -> None:
        told["report"]["p_quirk"] = 0.99
        told["report_sha256"] = report_hash(told["report"])

    forger.entry("handed_in", change)


def dropped(forger: Forger) -> None:
    forger.drop("handed_in")


def log(forger: Forger) -> None:
    def elsewhere(told: dict[str, Any]) -> None:
        forger.keep(LOG + told["log"], forger.kept(LOG + told["log"]) + b" ")

    forger.entry("handed_in", elsewhere)


def sitting(forger: Forger) -> None:
    first: list[str] = []
    forger.entry("begun", lambda told: first.append(told["sample"]))
    forger.drop("begun", about=first[0])
    forger.drop("begun", about=first[0])


SEALS = (
    (truth, "The truth that is kept is not what was committed to"),
    (seed, "The seeds or the order of targets that are kept are not"),
    (order, "The seeds or the order of targets that are kept are not"),
    (rubric, "The menu or the rubrics that are kept are not"),
)
ENTRIES = (
    (report, "report in the ledger is not the one in the log"),
    (report_and_hash, "report in the ledger is not the one in the log"),
    (dropped, "the entry of its report is not in the ledger: it was dropped"),
    (sitting, "met its targets in another order"),
)


@pytest.fixture
def forger(played: Played, tmp_path: Path) -> Forger:
    return Forger(copied(played.file, tmp_path))


CATALOG = Catalog()
"""Read once for all checks."""


def found(forger: Forger, *logs: Path, **more: Any) -> Checked:
    return check(Ledger(forger.file), logs, catalog=CATALOG, **more)


def test_an_honest_session_holds(forger: Forger, played: Played) -> None:
    checked = found(forger, *played.logs)
    assert checked.faults == () and checked.noticed and checked.redrawn == "drawn again"
    assert (checked.audits, checked.logs) == (4, len(played.logs))


@pytest.mark.parametrize(("change", "fault"), SEALS)
def test_what_is_sealed_cannot_be_changed(forger: Forger, change: Change, fault: str) -> None:
    change(forger)
    assert any(fault in said for said in found(forger).faults)


@pytest.mark.parametrize(("change", "again"), [(truth, "truths"), (seed, "draw"), (order, "draw"), (rubric, "rubric")])
def test_nor_with_new_commitments(forger: Forger, change: Change, again: str) -> None:
    change(forger)
    sealed = json.loads(forger.kept(SEALED))
    parts = sealed[again] if again == "truths" else [sealed[again]]
    hashes = sorted(commit(part["payload"], part["salt"]) for part in parts)
    new = hashes if again == "truths" else hashes[0]
    forger.entry("opened", lambda told: told["commitments"].update({again: new}))
    forger.chain_again()
    assert any("not those of the notice that was posted" in said for said in found(forger).faults)


@pytest.mark.parametrize("change", [change for change, _ in ENTRIES])
def test_the_ledger_cannot_be_changed(forger: Forger, change: Change) -> None:
    change(forger)
    assert any("The ledger has no entry" in said or "was changed" in said for said in found(forger).faults)


@pytest.mark.parametrize(("change", "fault"), ENTRIES)
def test_nor_chained_anew(forger: Forger, change: Change, fault: str) -> None:
    change(forger)
    forger.chain_again()
    assert any(fault in said for said in found(forger).faults)


def test_a_log_that_is_kept_cannot_be_changed(forger: Forger) -> None:
    log(forger)
    assert any("was changed since it came in" in said for said in found(forger).faults)


def test_a_report_that_is_dropped_with_its_log_is_missed_by_who_has_log_or_receipt(
    forger: Forger, played: Played
) -> None:
    with Ledger(forger.file).page() as page:
        [came, *_] = [entry for entry in page.entries() if entry.event == "handed_in"]
    forger._do("DELETE FROM kept WHERE name = ?", LOG + came.about["log"])
    forger.drop("handed_in")
    forger.chain_again()
    checked = found(forger, *played.logs, receipts=[came.sha256])
    assert any("the session has no report of audit" in said for said in checked.faults)
    assert any(said.startswith("Receipt ") for said in checked.faults)
    assert not any("Receipt" in said for said in found(forger).faults)


def test_a_players_log_that_was_edited_is_told_apart(forger: Forger, played: Played, tmp_path: Path) -> None:
    edited = read_eval_log(str(played.logs[-1]))
    assert edited.samples
    edited.samples[0].store["AuditRecord:report"]["p_quirk"] = 0.5
    write_eval_log(edited, str(tmp_path / "edited.eval"))
    [fault] = found(forger, tmp_path / "edited.eval").faults
    assert "is not the one that came in" in fault


def test_the_command_ends_with_status_1_and_says_what_is_broken(forger: Forger) -> None:
    truth(forger)
    told = run("verify", forger.file)
    assert told.exit_code == 1 and "It is broken." in told.output and "The truth that is kept" in told.stderr
