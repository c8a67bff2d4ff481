import json
import re
from pathlib import Path

import pytest
from inspect_ai.log import read_eval_log

from audit_env.catalog.files import Catalog
from audit_env.game.outcome import outcome_of
from audit_env.game.record import AuditRecord
from audit_env.game.verification import check_seals
from audit_env.sessions.referee.ledger import Ledger
from audit_env.sessions.referee.playing import play_seat
from audit_env.sessions.referee.state import read
from tests.sessions.referee.conftest import BASE, QUIRK, QUIRKED, Played, copied, drawn_in, forgotten, run, told


def test_both_teams_meet_the_same_targets_under_names_of_their_own(played: Played) -> None:
    drawn = drawn_in(played.file)
    people, machines = (dict(drawn.teams[team].order) for team in ("people", "machines"))
    assert sorted(people.values()) == sorted(machines.values()) == sorted([BASE, QUIRKED])
    assert not people.keys() & machines.keys()


def test_the_players_log_is_an_ordinary_one_with_the_truth_left_closed(played: Played) -> None:
    [first, second] = [log for log in map(read_eval_log, map(str, played.logs)) if log.status == "success"]
    for log in (first, second):
        [sample] = log.samples or []
        record = sample.store_as(AuditRecord)
        assert log.eval.model == "human/alice" and sample.error is None and not sample.scores
        assert record.opened is None and record.report and record.commitment
        assert [check.state for check in check_seals(log)] == ["unopened"]


def test_nothing_that_a_player_can_see_tells_the_truth(played: Played) -> None:
    logs = [path.read_bytes() for path in played.logs]
    whole = [read_eval_log(str(path)).model_dump_json() for path in played.logs]
    journal = b"".join(path.read_bytes() for path in (played.folder / "journal").iterdir())
    quirk = Catalog().quirk(QUIRK)
    secrets = [
        QUIRKED,
        BASE,
        "transcripts.none",
        f"{QUIRK}.t",
        '"seed": 7',
        quirk.definition[:40],
        quirk.rubric.wrong[:40],
    ]
    seen = [*played.outputs[1:], *whole, *(raw.decode(errors="replace") for raw in (*logs, journal))]
    for text in seen:
        assert not [secret for secret in secrets if secret in text]
    drawn = drawn_in(played.file)
    for text in seen:
        assert drawn.secret not in text and not any(str(team.seed) in text for team in drawn.teams.values())


def test_status_says_who_plays_and_how_far_they_are(played: Played) -> None:
    _, _, during, _, after, _ = played.outputs
    assert re.search(r"people +alice +0 +2 +0.0 +alice: t-[0-9a-f]{8}", during)
    assert re.search(r"people +alice +2 +2 ", after) and re.search(r"machines +- +2 +2 ", after)


def test_results_are_the_games_own_scores_and_a_closed_session_stays_closed(played: Played, tmp_path: Path) -> None:
    file = copied(played.file, tmp_path)
    baseline = played.agent.location.removeprefix("file://")
    raw = told("results", file, "--json", "--baselines", baseline, "--log-dir", tmp_path / "scored")
    people, machines, agent = json.loads(raw)["rows"]
    assert [row["who"] for row in (people, machines, agent)] == ["people", "machines", "prior"]
    assert (people["detection"]["rate"], people["detection"]["n"], people["false_alarm"]["rate"]) == (1.0, 1, 0.0)
    assert people["brier"] == pytest.approx((0.1**2 + 0.2**2) / 2) and people["seconds_to_correct"] > 0
    assert people["evidence"] and sum(people["evidence"].values()) == 1
    same = {name: value for name, value in machines.items() if name not in ("who", "baseline")}
    assert same == {name: agent[name] for name in same}
    scored = [read_eval_log(str(path)) for path in (tmp_path / "scored").glob("*.eval")]
    outcomes = [outcome_of((sample.scores or {})["verdict"]) for log in scored for sample in log.samples or []]
    assert len(outcomes) == 4 and {outcome.status for outcome in outcomes if outcome} == {"scored"}
    assert {check.state for log in scored for check in check_seals(log)} == {"holds"}

    assert told("results", file, "--json", "--baselines", baseline) == raw
    assert "| people | black_box | " in told("results", file, "--markdown")
    assert "It holds." in told("verify", file, *played.logs)
    for command in (
        ("join", file, "--team", "people", "--name", "bob"),
        ("take", file, baseline, "--team", "machines"),
    ):
        refused = run(*command)
        assert refused.exit_code == 1 and "This session is closed" in refused.stderr
    refused = run("play", "alice", "--session", file, "--token", played.token)
    assert refused.exit_code == 1 and "This session is closed" in refused.stderr


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("open", "{}", "--teams", "people,machines", "--seed", "8"), "holds another session already"),
        (("join", "{}", "--team", "blue", "--name", "bob"), "the teams are people, machines"),
        (("join", "{}", "--team", "people", "--name", "alice"), "has a seat in this session already"),
        (("join", "{}", "--team", "people", "--name", "../x"), "cannot be a player's name"),
        (("play", "alice", "--session", "{}", "--token", "guess"), "Name and token do not belong together"),
        (("play", "eve", "--session", "{}", "--token", "guess"), "Name and token do not belong together"),
        (("adjudicate", "{}", "--by", "alice"), "'alice' plays in this session"),
        (("adjudicate", "{}", "--by", "carol"), "by menu and are scored exactly"),
        (("status", "{}.public.json"), "is not the file of a session"),
        (("status", "nowhere"), "There is no session 'nowhere'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(played: Played, command: tuple[str, ...], sentence: str) -> None:
    refused = run(*(part.format(played.file) for part in command))
    assert refused.exit_code == 1 and sentence in refused.stderr and "Traceback" not in refused.stderr


def test_an_audit_comes_in_once(played: Played) -> None:
    refused = run("take", played.file, played.agent.location.removeprefix("file://"), "--team", "machines")
    assert refused.exit_code == 1 and "all its audits came in before" in refused.stderr


def test_a_log_of_another_team_must_say_whose_it_is(played: Played) -> None:
    refused = run("take", played.file, played.agent.location.removeprefix("file://"))
    assert refused.exit_code == 1 and "say whose it is with  --team" in refused.stderr


def test_a_report_whose_sitting_was_killed_right_after_it_comes_in_at_the_next(played: Played, tmp_path: Path) -> None:
    ledger, said = Ledger(copied(played.file, tmp_path)), list[str]()
    forgotten(ledger, "people")
    assert len(read(ledger).handed_in) == 2
    play_seat(
        ledger, "alice", played.token, played.folder / "logs", lambda *_: pytest.fail("played again"), said.append
    )
    assert len(read(ledger).handed_in) == 4 and sum("Your receipt: " in told for told in said) == 2


def test_a_target_is_played_by_the_one_of_a_team_who_begins_it(played: Played, tmp_path: Path) -> None:
    ledger, said = Ledger(copied(played.file, tmp_path)), list[str]()
    forgotten(ledger, "people")
    token = told("join", ledger.path, "--team", "people", "--name", "bob").rpartition("--token ")[2].strip()
    play_seat(ledger, "bob", token, played.folder / "logs", lambda *_: pytest.fail("not his"), said.append)
    assert said == ["All targets of team people are in, or others of the team have begun them."]


def test_who_leaves_targets_alone_has_missed_them(played: Played, tmp_path: Path) -> None:
    ledger = Ledger(copied(played.file, tmp_path))
    forgotten(ledger, "machines")
    waiting = run("results", ledger.path)
    assert waiting.exit_code == 1 and "2 of team machines" in waiting.stderr and not read(ledger).closed
    people, machines = json.loads(told("results", ledger.path, "--early", "--json"))["rows"]
    assert (machines["detection"]["rate"], machines["detection"]["n"], machines["not_played"]) == (0.0, 1, 2)
    assert machines["false_alarm"]["n"] == 0 and (people["detection"]["rate"], people["not_played"]) == (1.0, 0)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (("--targets", "99"), "asks for 99, but the set 'small' has 2 targets"),
        (("--affordance", "blck_box"), "did you mean 'black_box'?"),
        (("--teams", "red,red"), "must name each team once"),
    ],
)
def test_a_session_that_cannot_be_opened_leaves_nothing(
    played: Played, tmp_path: Path, option: tuple[str, str], sentence: str
) -> None:
    refused = run("open", tmp_path / "new", "--set", played.folder / "set.yaml", "--teams", "red,blue", *option)
    assert refused.exit_code == 1 and sentence in " ".join(refused.stderr.split())
    assert not list(tmp_path.iterdir())
