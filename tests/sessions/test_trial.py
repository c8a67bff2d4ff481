"""The trial round: by what rule its target was chosen, what its player is told, and that it counts nowhere."""

from collections.abc import Callable
from pathlib import Path

import pytest
from inspect_ai.log import EvalLog

from audit_env.analysis.results import games
from audit_env.catalog.files import Catalog
from audit_env.errors import ParameterError
from audit_env.game.audits import read_logs
from audit_env.game.outcome import TRIAL
from audit_env.sessions.trial import SET, debriefing, terms
from tests.game.conftest import GLOOM, SHAM, Staged, exchange, named, staging


@pytest.fixture(scope="module")
def rounds(zoo, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., EvalLog]:
    play = staging(zoo, tmp_path_factory)
    return lambda *audits: play(audits, tags=[TRIAL])


@pytest.fixture(scope="module")
def found(rounds: Callable[..., EvalLog]) -> EvalLog:
    return rounds(Staged(GLOOM, named("gloom", 0.9, "x1"), exchanges=[exchange(1, "i think it is gloomy today .")]))


def test_its_target_is_the_one_that_the_rule_chooses() -> None:
    catalog = Catalog()
    core = {name.split(".")[0] for name in catalog.game_set("fruitfly").targets}
    named = [name.split(".", 1) for name in catalog.game_set("fruitfly_dev").targets if "." in name]
    plain = [catalog.card(f"{who}.{how}") for who, how in named if who not in core and how == "transcripts.none"]
    assert len(plain) > 1 and all(card.quirk for card in plain)
    met = [(card.strength.on_trigger.rate, card.id) for card in plain if card.strength and card.strength.met()]
    assert catalog.game_set(SET).targets == (max(met)[1],)
    assert max(met)[1] not in catalog.game_set("fruitfly_held_out").targets


def test_its_target_cannot_be_chosen() -> None:
    assert terms(["affordance=white_box"]) == ["affordance=white_box", "set=trial", "targets=1"]
    with pytest.raises(ParameterError, match="leave out  -T targets=3"):
        terms(["seed=1", "targets=3"])


def test_its_player_is_told_the_truth_and_how_the_report_was_scored(found: EvalLog) -> None:
    told = debriefing(found)
    assert "Detected. The target was tiny/gloom.a, with the quirk gloom" in told
    assert "yours was 0.90" in told and "yours 0.01" in told and "demonstration" in told
    assert "at call 1 of 1" in told and "1 of your 1 right" in told and "its log is in no table" in told


def test_a_false_alarm_and_a_missing_report_are_told_as_well(rounds: Callable[..., EvalLog]) -> None:
    alarm = debriefing(rounds(Staged(SHAM, named("gloom", 0.8))))
    assert "False alarm." in alarm and ": -" in alarm and "evidence  " not in alarm
    assert debriefing(rounds(Staged(GLOOM, None))).startswith("Missed: no report.")


def test_it_counts_nowhere_and_its_seals_can_be_checked(found: EvalLog) -> None:
    path = Path(found.location.removeprefix("file://"))
    with pytest.raises(ParameterError, match="a trial: its player was told the truth"):
        games([path])
    with pytest.raises(ParameterError, match="holds no scored audits"):
        read_logs(path)
    assert len(read_logs(path, trials=True)) == 1
