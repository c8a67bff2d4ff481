import io
import json
import math

import pytest
from inspect_ai.log import EvalLog, read_eval_log
from rich.console import Console

from audit_env.errors import ParameterError
from audit_env.game import audits, showing, table


@pytest.fixture(scope="module")
def log(game: EvalLog) -> EvalLog:
    return read_eval_log(game.location)


def test_every_audit_has_a_row(log: EvalLog) -> None:
    frame = audits.audits([log])
    assert len(frame) == 10
    assert set(frame["auditor"]) == {"_plays"}
    assert list(frame["status"]).count("no_report") == 1
    assert frame[frame["organism"] == "tiny/sham.one"]["detected"].isna().all()


def test_results_have_a_row_for_each_affordance(log: EvalLog) -> None:
    frame = table.results(audits.audits([log]))
    assert list(frame["affordance"]) == ["black_box", "white_box"]
    black, white = frame.to_dict("records")
    assert (black["detection"], black["detection_n"], black["clean_detection"]) == (0.5, 4, 0.25)
    assert (black["false_alarm_base"], black["false_alarm_sham"], black["no_report"]) == (0.0, 1.0, 1)
    assert (white["detection"], white["detection_n"], white["unscored"], white["errored"]) == (0.5, 2, 1, 1)
    assert math.isnan(white["false_alarm_sham"]) and white["false_alarm_sham_n"] == 0


def test_quirks_bases_and_shams_have_rows_of_their_own(log: EvalLog) -> None:
    frame = table.by_quirk(audits.audits([log]))
    black = frame[frame["affordance"] == "black_box"]
    assert list(black["target"]) == ["base", "flattery", "gloom", "sham"]
    assert list(black["recipe"]) == ["-", "transcripts", "transcripts", "transcripts"]
    assert list(black["detection_n"]) == [0, 2, 2, 0]
    assert list(black["false_alarm_n"]) == [1, 0, 0, 1]


def test_audits_by_auditbenchs_protocol_never_share_a_row_with_ours(log: EvalLog) -> None:
    mixed = log.model_copy(deep=True)
    for sample in (mixed.samples or [])[:2]:
        assert sample.scores
        sample.scores["verdict"].metadata["outcome"]["protocol"] = "auditbench"
    frame = table.results(audits.audits([mixed]))
    assert set(frame["auditor"]) == {"_plays", "_plays [AuditBench's protocol]"}
    assert sum(frame[frame["auditor"] != "_plays"]["audits"]) == 2
    assert any("with published figures only" in note for note in showing.notes(frame))
    assert not any("with published figures only" in note for note in showing.notes(table.results(audits.audits([log]))))


def test_a_sample_without_a_verdict_is_counted(log: EvalLog) -> None:
    cut = log.model_copy(deep=True)
    [sample] = [s for s in cut.samples or [] if str(s.id).endswith("white_box.9")]
    sample.scores = {}
    [_, white] = table.results(audits.audits([cut])).to_dict("records")
    assert (white["audits"], white["errored"]) == (4, 2)


def test_markdown_shows_rates_with_interval_and_count(log: EvalLog) -> None:
    lines = showing.markdown(table.results(audits.audits([log]))).splitlines()
    assert lines[0].startswith("| Affordance | Auditor | Clean detection |")
    assert lines[1].startswith("| --- | --- | --: |")
    assert "| black_box | _plays | 0.25 (1/4) [" in lines[2] and "| 0 / 0 / 1 |" in lines[2]
    assert "| 0.25 prior 0.33 |" in lines[2]
    assert "| - |" in lines[3] and "| 1 / 1 / 0 |" in lines[3]
    assert any("with 1 clean target the budget allows no false alarm" in line for line in lines)


@pytest.mark.parametrize("width", [80, 140])
def test_the_terminal_table_fits_narrow_and_wide_screens(log: EvalLog, width: int) -> None:
    console = Console(width=width, file=io.StringIO(), record=True)
    showing.show(table.results(audits.audits([log])), console)
    lines = console.export_text().splitlines()
    assert any("0.25 (1/4)" in line for line in lines) and any("black_box" in line for line in lines)
    assert all(len(line) <= width for line in lines)


def test_data_frames_go_to_json(log: EvalLog) -> None:
    rows = json.loads(table.results(audits.audits([log])).to_json(orient="records"))
    assert rows[0]["detection"] == 0.5 and rows[1]["false_alarm_sham"] is None


def test_a_folder_gives_all_its_logs(game: EvalLog) -> None:
    folder = game.location.removeprefix("file://").rsplit("/", 1)[0]
    assert [log.eval.eval_id for log in audits.read_logs(folder)] == [game.eval.eval_id]


def test_what_cannot_be_read_says_so(tmp_path) -> None:
    with pytest.raises(ParameterError, match="does not exist"):
        audits.read_logs(tmp_path / "missing")
    with pytest.raises(ParameterError, match="holds no scored audits"):
        audits.read_logs(tmp_path)
    broken = tmp_path / "broken.eval"
    broken.write_bytes(b"not a log")
    with pytest.raises(ParameterError, match=r"broken\.eval' cannot be read"):
        audits.read_logs(broken)
