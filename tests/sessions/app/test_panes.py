"""The panes of the app, at 80 by 24, at a game that the test lays out."""

import re
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from audit_env.auditors.llm.notebook import Note
from audit_env.sessions.app.dialogs import Sure
from audit_env.sessions.app.forms import Entry
from audit_env.sessions.app.table import PANES, SessionApp
from audit_env.sessions.app.tools import FormPane
from audit_env.sessions.view import Made
from tests.sessions.app.game import EVIL, PATIENCE, ROOM, Game, press, screen, shows, until


@pytest.fixture
def game(tmp_path: Path) -> Game:
    game = Game(tmp_path)
    game.says("It rains.", asked="how is it ?")
    game.reads("Three answers of five speak of rain.")
    game.lay_out()
    return game


def entry(app: SessionApp, name: str) -> Entry:
    [found] = [one for one in app.screen.query(Entry) if one.field.name == name and one.region]
    return found


def test_every_pane_is_a_key_away_and_fits_80_by_24(game: Game) -> None:
    async def seen(game: Game, app: SessionApp, pilot: Pilot[str]) -> None:
        for pane in PANES:
            await press(pilot, pane.KEY)
            await until(pilot, lambda name=pane.NAME: name == app.pane.NAME)  # type: ignore[misc]
            lines = screen(app).splitlines()
            assert len(lines) == 24 and all(f"{one.KEY.upper()} {one.NAME}" in lines[2] for one in PANES)
            assert "f1 Help" in lines[-1] and "f10 Leave" in lines[-1]
            assert re.match(r"t-1 \| 9 calls and 900 target tokens left \| played \d+:\d\d", lines[0])
        await press(pilot, "escape", "3", "escape", "question_mark")
        await shows(app, pilot, "How to play")
        await press(pilot, "escape", "f9")
        await shows(app, pilot, "words that a turn must have")

    game.play(seen)


def test_it_says_ready_once_the_forms_are_there_to_type_into(game: Game, monkeypatch: pytest.MonkeyPatch) -> None:
    begin, words = FormPane.begin, list[str]()

    async def watched(pane: FormPane) -> None:
        await begin(pane)
        assert isinstance(pane.app, SessionApp)
        words.append(str(pane.app._word.content))

    async def seen(game: Game, app: SessionApp, pilot: Pilot[str]) -> None:
        await shows(app, pilot, "alice: Ready")

    monkeypatch.setattr(FormPane, "begin", watched)
    game.play(seen)
    assert words and all("being set up" in word for word in words)


def test_one_talks_to_the_target_and_what_it_wrote_is_shown_and_nothing_else(game: Game) -> None:
    async def seen(game: Game, app: SessionApp, pilot: Pilot[str]) -> None:
        await press(pilot, "f3", "ctrl+n", *"hi", "enter")
        await shows(app, pilot, "Waiting for chat (alice)")
        assert game.takes("") == ("chat", {"message": "hi", "conversation": "c2"})
        game.says(EVIL, asked="[bold]hi[/]", conversation="c2")
        game.lay_out()
        literal = "[red]rain[/red] \\u001b[2J\\u202e again"
        await shows(app, pilot, f"target x2: {literal}")
        assert "you: [bold]hi[/]" in screen(app) and "alice: Ready" in screen(app)

        # What is refused is told, and given back.
        await press(pilot, *"no", "enter")
        await shows(app, pilot, "Waiting for chat")
        game.takes("Refused: [b]it is too long.", refused=True)
        game.lay_out()
        await shows(app, pilot, "Refused: [b]it is too long.")
        await press(pilot, "escape")
        assert app.query_one("#message", Input).value == "no"

        # What another player does is seen at once.
        game.journal.sit_down(ROOM, ["alice", "bob"])
        app.NOTIFICATION_TIMEOUT = PATIENCE  # type: ignore[misc] (of what is waited for)
        game.journal.put(game.seat, "bob", "note", {"text": EVIL})
        await shows(app, pilot, "Waiting for note (bob)")
        game.takes("Noted [/].")
        game.notes.notes = [Note(text=EVIL, at_call=1)]
        game.lay_out()
        await shows(app, pilot, "bob: note")
        app.clear_notifications()
        assert "alice (with bob): Ready" in screen(app)

        # Notes, findings and history show it as it is, too.
        await press(pilot, "f7")
        await shows(app, pilot, f"at call 1: {literal}")
        await press(pilot, "f5", "up")
        await shows(app, pilot, "x2 (target)")
        assert literal in screen(app)
        await press(pilot, "f9")
        await shows(app, pilot, "Noted [/].")

    game.play(seen)


def test_a_tool_is_called_by_its_form_and_a_wrong_value_is_told_beside_it(game: Game) -> None:
    async def seen(game: Game, app: SessionApp, pilot: Pilot[str]) -> None:
        await press(pilot, "f4", "down", "enter")
        await until(pilot, lambda: isinstance(app.focused, TextArea))
        assert "ask_each: fill in" in screen(app)
        await press(pilot, "ctrl+s")
        await shows(app, pilot, "! This is required.")
        entry(app, "samples").query_one(Input).value = "two"
        await press(pilot, *"soup", "enter", *"tea", "ctrl+s")
        await shows(app, pilot, "! 'two' is not a whole number, such as 3.")
        assert game.journal.waiting(game.seat) == []
        entry(app, "samples").query_one(Input).value = "2"
        await press(pilot, "ctrl+s")
        await shows(app, pilot, "Waiting for ask_each (alice)")
        assert game.takes("x2: leeks") == ("ask_each", {"prompts": ["soup", "tea"], "samples": 2})
        game.lay_out()
        await shows(app, pilot, "x2: leeks")
        await press(pilot, "escape")
        assert not app.pane.query_one(TextArea).text

    game.play(seen)


def test_findings_are_cited_by_a_key_and_a_report_is_checked_before_it_is_sent(game: Game) -> None:
    async def seen(game: Game, app: SessionApp, pilot: Pilot[str]) -> None:
        await press(pilot, "f5", "t", "up", "r", "f6")
        await until(pilot, lambda: app.pane.NAME == "Tracker")
        assert entry(app, "evidence").raw == ["r1"]
        await press(pilot, "f8", "2", "ctrl+s")
        await shows(app, pilot, "! 2 is no probability")
        assert "! Rank at least one entry of the menu" in screen(app)
        assert "! 1 has no statement: press Enter on it" in screen(app)
        entry(app, "p_quirk").query_one(Input).value = "0.9"
        await press(pilot, "tab", "ctrl+o", *"gl", "enter", "tab", "enter")
        await until(pilot, lambda: len(app.screen_stack) == 2 and isinstance(app.focused, Input))
        await press(pilot, *"Gloom", "tab", *"0.8", "ctrl+s")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        await press(pilot, "ctrl+s")
        await shows(app, pilot, "Hand it in? (y or n)")
        assert game.journal.waiting(game.seat) == []
        await press(pilot, "y")
        await shows(app, pilot, "Waiting for report (alice)")
        assert game.takes("The report is in.") == (
            "report",
            {
                "p_quirk": 0.9,
                "ranking": ["gloom"],
                "hypotheses": [{"statement": "Gloom", "confidence": 0.8, "evidence": ["x1"]}],
            },
        )
        game.journal.tell(ROOM, "The report is in, sealed as 12ab.", "between")
        await shows(app, pilot, "The report is in, sealed as 12ab.")

    game.play(seen)


def test_a_verdict_that_comes_second_is_not_sent_and_its_player_is_told(game: Game) -> None:
    async def seen(game: Game, app: SessionApp, pilot: Pilot[str]) -> None:
        async def asks() -> None:
            await press(pilot, "ctrl+s")
            await shows(app, pilot, "Hand it in? (y or n)")

        await press(pilot, "f8", *"0.9", "tab", *"gloom")
        await asks()
        game.journal.put(game.seat, "bob", "report", {"p_quirk": 0.1}, since=0)
        await press(pilot, "y")
        await shows(app, pilot, "bob has just handed in a verdict")
        assert "Not sent" in screen(app) and game.journal.waiting(game.seat) == [("bob", "report")]

        # The other one is refused, and hers is still there.
        game.takes("Refused: rank the menu.", refused=True)
        game.lay_out()
        await press(pilot, "escape")
        await shows(app, pilot, "alice: Ready")
        await asks()
        game.journal.tell(ROOM, "The report is in, sealed as 12ab.", "between")
        await shows(app, pilot, "The report is in, sealed as 12ab.")
        await press(pilot, "escape", "y")
        await shows(app, pilot, "The report of this target is in already")
        assert game.journal.waiting(game.seat) == []

        # Her yes is still on its way when the end comes to lie over the question.
        await press(pilot, "escape")
        await asks()
        asked = app.screen
        assert isinstance(asked, Sure)
        game.journal.tell(ROOM, "All is played.", "over")
        await shows(app, pilot, "The end")
        await asked.action_dismiss(True)
        await pilot.pause()
        assert "The end" in screen(app) and app.screen_stack[-2] is asked
        await press(pilot, "escape", "y")
        await shows(app, pilot, "All is played, and one report is all that counts")
        assert game.journal.waiting(game.seat) == []

    game.play(seen)


def test_a_verdict_on_a_phase_that_another_has_closed_is_not_sent(game: Game) -> None:
    game.lay_out(phase="first")

    async def seen(game: Game, app: SessionApp, pilot: Pilot[str]) -> None:
        await press(pilot, "f8", *"0.9", "tab", *"gloom", "ctrl+s")
        await shows(app, pilot, "Hand it in? (y or n)")
        game.record.affordance = "grey_box"
        game.made.append(Made(who="bob", tool="interim", arguments="", answer="Handed in.", refused=False))
        game.lay_out(phase="first")
        await until(pilot, lambda: app.link.view is not None and app.link.view.affordance == "grey_box")
        await press(pilot, "y")
        await shows(app, pilot, "Somebody else's verdict closed what this one was of.")
        assert game.journal.waiting(game.seat) == []

    game.play(seen)


def test_before_the_last_phase_the_verdict_is_an_interim_one(game: Game) -> None:
    game.lay_out(phase="first")

    async def seen(game: Game, app: SessionApp, pilot: Pilot[str]) -> None:
        await press(pilot, "f8", *"0.2")
        await shows(app, pilot, "The interim verdict ends this phase and opens the next.")
        game.made.append(Made(who="bob", tool="interim", arguments="", answer="Handed in.", refused=False))
        game.brief += "\n\n# Phase 2 of 2"
        game.lay_out(phase="last")
        await shows(app, pilot, "# Phase 2 of 2")
        assert "The next phase" in screen(app) and "Find out." not in screen(app)
        await press(pilot, "escape")
        await shows(app, pilot, "Your report ends the audit.")
        assert entry(app, "p_quirk").raw is None
        await press(pilot, *"0.7")
        await until(pilot, lambda: entry(app, "p_quirk").raw == 0.7)

    game.play(seen)
    assert game.journal.draft(game.seat, "alice", "interim") == {"p_quirk": 0.2}
    assert game.journal.draft(game.seat, "alice", "report") == {"p_quirk": 0.7}


def test_what_was_typed_outlives_the_app(game: Game) -> None:
    async def types(game: Game, app: SessionApp, pilot: Pilot[str]) -> None:
        await press(pilot, "f8", *"0.4", "f3", *"hi")

    async def finds(game: Game, app: SessionApp, pilot: Pilot[str]) -> None:
        await press(pilot, "f8")
        await until(pilot, lambda: app.pane.NAME == "Report")
        assert entry(app, "p_quirk").raw == 0.4
        assert app.query_one("#message", Input).value == "hi"

    game.play(types)
    game.play(finds)
    assert game.journal.draft(game.seat, "bob", "report") == {}


def test_when_time_is_over_only_the_report_is_left_and_one_leaves_by_a_key(game: Game) -> None:
    game.journal.played(game.seat, 61.0)
    game.lay_out(limit=60.0)

    async def seen(game: Game, app: SessionApp, pilot: Pilot[str]) -> None:
        await press(pilot, "f3", *"hi", "enter")
        await shows(app, pilot, "Your 1:00 minutes are over: only report is left")
        assert app.query_one("#message", Input).value == "hi"
        assert game.journal.waiting(game.seat) == []
        await press(pilot, "f10")
        await until(pilot, lambda: not app.is_running)

    game.play(seen)
