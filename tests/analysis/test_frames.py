import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from inspect_ai.log import EvalLog, read_eval_log, write_eval_log

from audit_env.analysis import columns, load
from audit_env.errors import ParameterError
from tests.analysis.conftest import GOLDEN, NAMED, game_log, hit, miss
from tests.game.conftest import game, stage

__all__ = ["game", "stage"]


@pytest.fixture
def real(game: EvalLog) -> str:
    return game.location.removeprefix("file://")


def test_every_frame_has_the_documented_columns(real: str) -> None:
    frames = load(real)
    for name, told in columns().items():
        assert list(getattr(frames, name).columns) == list(told), name
        assert all(told.values()), name


def test_every_audit_of_a_real_game_has_a_row(real: str) -> None:
    audits = load(real).audits
    assert len(audits) == 10 and audits["sample"].is_unique
    assert audits["status"].value_counts().to_dict() == {"scored": 7, "no_report": 1, "unscored": 1, "errored": 1}
    assert audits.loc[audits["organism"] == "tiny/sham.one", "detected"].isna().all()
    told = audits[audits["organism"].notna()]
    assert told["made_of"].str.len().eq(64).all() and told["made_of"].nunique() == told["organism"].nunique() == 6
    first = audits[audits["sample"].str.endswith("black_box.2")].iloc[0]
    assert (first["named_first"], first["quirk"], first["p_quirk"]) == ("flattery", "gloom", 0.7)


def test_details_come_from_the_samples(real: str) -> None:
    frames = load(real)
    assert len(frames.hypotheses) == 8 and set(frames.hypotheses["place"]) == {1}
    assert frames.hypotheses["evidence"].sum() == 3
    assert set(frames.tool_calls["tool"]) == {"report"}


def test_what_a_summary_leaves_out_is_read_from_the_sample(written: Callable[..., Path]) -> None:
    path = written([hit("flattery.a", warning="so long " * 200)])
    [row] = load(path).audits.to_dict("records")
    assert row["detected"] is True or row["detected"] == 1
    assert len(row["warning"]) == 1600


def test_a_sample_without_a_verdict_is_counted(written: Callable[..., Path]) -> None:
    audits = load(written([hit("flattery.a"), None])).audits
    assert list(audits["status"]) == ["scored", "errored"]


def test_what_cannot_be_used_is_named_and_the_rest_is_read(written: Callable[..., Path], tmp_path: Path) -> None:
    good = written(GOLDEN, named=NAMED)
    whole = good.read_bytes()
    (tmp_path / "2026_truncated.eval").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "2026_corrupt.eval").write_bytes(b"PK\x03\x04" + b"\0" * 300)
    (tmp_path / "2026_empty.eval").write_bytes(b"")
    damaged = bytearray(whole)
    damaged[200:1200] = b"\xff" * 1000
    (tmp_path / "2026_damaged.eval").write_bytes(bytes(damaged))
    foreign = game_log([hit("flattery.a")], name="foreign")
    foreign.eval.scorers = None
    write_eval_log(foreign, str(tmp_path / "2026_foreign.eval"))
    begun = game_log([hit("flattery.a")], name="begun")
    begun.status = "started"
    write_eval_log(begun, str(tmp_path / "2026_begun.eval"))
    newer = game_log([hit("flattery.a")], name="newer")
    assert newer.samples and newer.samples[0].scores
    newer.samples[0].scores["verdict"].metadata["outcome"]["of_tomorrow"] = 1
    write_eval_log(newer, str(tmp_path / "2026_newer.eval"))

    frames = load(tmp_path)
    assert set(frames.logs["file"]) <= {good.name, "2026_damaged.eval"} and good.name in set(frames.logs["file"])
    why = {one.log.removeprefix("2026_").removesuffix(".eval"): one.why for one in frames.skipped}
    assert set(why) >= {"truncated", "corrupt", "empty", "foreign", "begun", "newer"}
    assert len(frames.logs) + len(why) == 8
    assert "half-written" in why["begun"] and "foreign" in why["foreign"] and "another version" in why["newer"]
    assert all("damaged" in why[name] for name in ("truncated", "corrupt", "empty"))


def test_different_rules_are_not_pooled_unless_told(written: Callable[..., Path], tmp_path: Path) -> None:
    written([hit("flattery.a")], name="old", version=9)
    written([miss("flattery.a")], name="new", version=10)
    with pytest.raises(ParameterError, match="version 9 of the rules"):
        load(tmp_path)
    newest = load(tmp_path, versions="newest")
    assert list(newest.logs["version"]) == ["10"] and len(newest.audits) == 1
    assert [one.why for one in newest.skipped] == [
        "version 9 of the rules of 'hidden_objective', where others follow 10"
    ]
    assert len(load(tmp_path, versions="pool").audits) == 2


def test_a_retry_takes_the_place_of_what_it_retried(written: Callable[..., Path], tmp_path: Path) -> None:
    written([miss("flattery.a")], name="first", task_id="t")
    written([miss("flattery.a"), hit("gloom.a")], name="again", task_id="t", created="2026-01-02T00:00:00+00:00")
    frames = load(tmp_path)
    assert len(frames.audits) == 2 and list(frames.logs["file"].str.contains("again")) == [True]
    assert [("first" in one.log, "later" in one.why) for one in frames.skipped] == [(True, True)]


def test_a_game_that_a_person_left_and_took_up_again_counts_once(written: Callable[..., Path], tmp_path: Path) -> None:
    game = hit("flattery.a")
    for name, status, day, outcome in (("left", "cancelled", 1, None), ("done", "success", 2, game)):
        log = game_log([outcome], model="human/alice", name=name, created=f"2026-01-0{day}T00:00:00+00:00")
        assert log.samples
        log.status, log.samples[0].id = status, "t-1.black_box"  # type: ignore[assignment]
        write_eval_log(log, str(tmp_path / f"2026_{name}.eval"))
    other = game_log([None], model="human/bob", name="other")  # Left, and never taken up again.
    other.status = "cancelled"
    write_eval_log(other, str(tmp_path / "2026_other.eval"))
    frames = load(tmp_path)
    assert sorted(zip(frames.audits["auditor"], frames.audits["status"], strict=True)) == [
        ("human/alice", "scored"),
        ("human/bob", "errored"),
    ]
    assert [(one.log, one.why) for one in frames.skipped] == [
        ("2026_left.eval", "a sitting that was left; the whole game is in '2026_done.eval'")
    ]


def test_a_log_and_its_copy_count_once(written: Callable[..., Path], tmp_path: Path) -> None:
    path = written(GOLDEN)
    shutil.copy(path, tmp_path / "copy.eval")
    frames = load(tmp_path)
    assert len(frames.audits) == len(GOLDEN) and len(frames.skipped) == 1


def test_kept_rows_are_those_of_the_log(
    written: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(GOLDEN, named=NAMED)
    fresh = load(path).audits
    monkeypatch.setenv("AUDIT_ENV_CACHE", "greedy")
    monkeypatch.setenv("AUDIT_ENV_CACHE_DIR", str(tmp_path / "cache"))
    pd.testing.assert_frame_equal(load(path).audits, fresh)
    assert len(list((tmp_path / "cache").rglob("*.json.gz"))) == 1
    pd.testing.assert_frame_equal(load(path).audits, fresh)
    moved = path.rename(tmp_path / "moved.eval")
    assert list(load(moved).logs["file"]) == ["moved.eval"]
    changed = read_eval_log(str(moved))
    assert changed.samples
    changed.samples = changed.samples[:3]
    write_eval_log(changed, str(moved))
    assert len(load(moved).audits) == 3


def test_what_does_not_exist_says_so(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="does not exist"):
        load(tmp_path / "missing")
    with pytest.raises(ParameterError, match="no log"):
        load(tmp_path)
