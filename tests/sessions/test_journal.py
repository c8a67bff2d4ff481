from pathlib import Path

import pytest

from audit_env.sessions.errors import SessionError
from audit_env.sessions.journal import Journal, Seat


def sit(folder: Path, attempt: int = 1) -> tuple[Journal, Seat]:
    journal = Journal(folder)
    return journal, journal.begin("game", attempt, player="alice", sample="t-1", epoch=1, log="a.eval")


def test_turns_drafts_and_time_are_there_in_the_next_sitting(tmp_path: Path) -> None:
    journal, seat = sit(tmp_path)
    made = journal.write(seat, 0, "The brief.", "chat", {"message": "hello"}, 12.0)
    journal.keep_draft(seat, "report", {"p_quirk": 0.5}, 20.5)
    journal, seat = sit(tmp_path)
    assert (seat.sitting, seat.seconds) == (2, 20.5)
    assert journal.turn(seat, 0, "The brief.") == made
    assert journal.turn(seat, 1, "x1: hi") is None
    assert journal.draft(seat, "report") == {"p_quirk": 0.5} and journal.draft(seat, "chat") == {}


def test_a_turn_that_is_met_by_another_answer_is_not_played_again(tmp_path: Path) -> None:
    journal, seat = sit(tmp_path)
    journal.write(seat, 0, "The brief.", "chat", {"message": "hello"}, 1.0)
    with pytest.raises(SessionError, match="turn 0 was answered otherwise"):
        journal.turn(seat, 0, "Another brief.")


def test_two_terminals_cannot_make_the_same_turn(tmp_path: Path) -> None:
    journal, seat = sit(tmp_path)
    other_journal, other_seat = sit(tmp_path)
    journal.write(seat, 0, "The brief.", "chat", {"message": "hello"}, 1.0)
    with pytest.raises(SessionError, match="another terminal"):
        other_journal.write(other_seat, 0, "The brief.", "chat", {"message": "bye"}, 1.0)


def test_a_new_attempt_knows_nothing_of_the_old_one(tmp_path: Path) -> None:
    journal, seat = sit(tmp_path)
    journal.write(seat, 0, "The brief.", "chat", {"message": "hello"}, 1.0)
    assert journal.last("game") == (1, "a.eval") and journal.last("other") is None
    journal, seat = sit(tmp_path, attempt=2)
    assert (seat.seconds, journal.turn(seat, 0, "The brief.")) == (0.0, None)
