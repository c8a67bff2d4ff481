import sqlite3
from pathlib import Path
from threading import Barrier, Thread

import pytest

from audit_env.sessions.errors import SessionError
from audit_env.sessions.journal import FILE, Journal, Seat


def sit(folder: Path, attempt: int = 1) -> tuple[Journal, Seat]:
    journal = Journal(folder)
    return journal, journal.begin("game", attempt, player="alice", sample="t-1", epoch=1, log="a.eval")


def test_turns_drafts_and_time_are_there_in_the_next_sitting(tmp_path: Path) -> None:
    journal, seat = sit(tmp_path)
    journal.put(seat, "alice", "chat", {"message": "hello"})
    made = journal.take(seat, 0, "The brief.", 12.0)
    journal.keep_draft(seat, "alice", "report", {"p_quirk": 0.5})
    journal.played(seat, 20.5)
    journal, seat = sit(tmp_path)
    assert (seat.sitting, seat.seconds) == (2, 20.5)
    assert made and journal.again(seat, 0, "The brief.") == made
    assert journal.again(seat, 1, "x1: hi") is None
    assert journal.draft(seat, "alice", "report") == {"p_quirk": 0.5}
    assert journal.draft(seat, "alice", "chat") == journal.draft(seat, "bob", "report") == {}


def test_a_turn_that_is_met_by_another_answer_is_not_played_again(tmp_path: Path) -> None:
    journal, seat = sit(tmp_path)
    journal.put(seat, "alice", "chat", {"message": "hello"})
    journal.take(seat, 0, "The brief.", 1.0)
    with pytest.raises(SessionError, match="turn 0 was answered otherwise"):
        journal.again(seat, 0, "Another brief.")


def test_turns_of_several_are_taken_in_the_order_in_which_they_were_put_and_outlive_a_kill(tmp_path: Path) -> None:
    journal, seat = sit(tmp_path)
    for who, said in (("alice", "one"), ("bob", "two"), ("alice", "three")):
        journal.put(seat, who, "chat", {"message": said})
    assert journal.waiting(seat) == [("alice", "chat"), ("bob", "chat"), ("alice", "chat")]
    assert (taken := journal.take(seat, 0, "", 1.0)) and taken.who == "alice"
    journal.throw_away(seat)
    journal, seat = sit(tmp_path)
    assert journal.again(seat, 1, "") is None
    assert (taken := journal.take(seat, 1, "", 2.0)) and taken.arguments == {"message": "three"}
    assert (again := journal.again(seat, 1, "")) == taken and again
    assert journal.take(seat, 2, "", 3.0) is None


def test_of_two_verdicts_in_one_moment_one_counts(tmp_path: Path) -> None:
    journal, seat = sit(tmp_path)
    journal.put(seat, "bob", "chat", {"message": "hello"})
    moment, refused = Barrier(2), list[str]()

    def hand_in(who: str) -> None:
        moment.wait()
        try:
            Journal(tmp_path).put(seat, who, "report", {"p_quirk": 0.5}, since=0)
        except SessionError as error:
            refused.append(str(error))

    players = [Thread(target=hand_in, args=(who,)) for who in ("alice", "bob")]
    for player in players:
        player.start()
    for player in players:
        player.join()
    [(first, tool)] = journal.waiting(seat)[1:]
    assert tool == "report" and len(refused) == 1
    assert refused[0].startswith(
        f"{first} has just handed in a verdict, and one is all that counts: yours was not sent."
    )

    # Who has seen what came of it may try again: the game may have refused it.
    assert journal.take(seat, 0, "The brief.", 1.0) and journal.take(seat, 1, "x1: hi", 2.0)
    with pytest.raises(SessionError, match="yours was not sent"):
        journal.put(seat, "carol", "interim", {}, since=1)
    journal.put(seat, "carol", "report", {"p_quirk": 0.1}, since=2)
    assert journal.waiting(seat) == [("carol", "report")]


def test_who_sits_down_last_plays_on_and_the_other_is_told(tmp_path: Path) -> None:
    journal, seat = sit(tmp_path)
    journal.put(seat, "alice", "chat", {"message": "hello"})
    other_journal, other_seat = sit(tmp_path)
    for refused in (
        lambda: journal.put(seat, "alice", "chat", {}),
        lambda: journal.take(seat, 0, "The brief.", 1.0),
        lambda: journal.lay_out("room", seat, "{}"),
    ):
        with pytest.raises(SessionError, match="goes on elsewhere"):
            refused()
    assert other_journal.take(other_seat, 0, "The brief.", 1.0)


def test_a_room_shows_how_the_game_stands(tmp_path: Path) -> None:
    journal, seat = sit(tmp_path)
    journal.open_room("r")
    changed = journal.watch()
    assert changed() and not changed()
    journal.sit_down("r", ["bob", "alice"])
    assert changed()
    assert (room := journal.room("r")).present == ("alice", "bob") and (room.state, room.seat) == ("opening", None)
    journal.lay_out("r", seat, "{}")
    journal.played(seat, 9.0)
    room = journal.room("r")
    assert (room.state, room.view) == ("playing", "{}") and room.seat == Seat("game", 1, 1, 9.0)
    journal.tell("r", "The report is in.", "between")
    assert (journal.room("r").told, journal.room("r").state) == ("The report is in.", "between")
    journal.close_room("r")
    with pytest.raises(SessionError, match="no such room"):
        journal.room("r")


def test_a_journal_of_another_version_is_named(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as base:
        base.execute("CREATE TABLE game (key TEXT)")
    with pytest.raises(SessionError, match="people.sqlite was written by another version"):
        Journal(tmp_path)


def test_a_new_attempt_knows_nothing_of_the_old_one(tmp_path: Path) -> None:
    journal, seat = sit(tmp_path)
    journal.put(seat, "alice", "chat", {"message": "hello"})
    journal.take(seat, 0, "The brief.", 1.0)
    assert journal.last("game") == (1, "a.eval") and journal.last("other") is None
    journal, seat = sit(tmp_path, attempt=2)
    assert (seat.seconds, journal.again(seat, 0, "The brief.")) == (0.0, None)
