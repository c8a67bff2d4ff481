"""Logs of tool evidence, beside games."""

from pathlib import Path

from inspect_ai.log import write_eval_log
from inspect_ai.log._log import EvalScorer
from inspect_ai.scorer import Score

from audit_env.analysis import load
from audit_env.evidence.evidence_eval import METADATA_KEY, Evidence
from tests.analysis.conftest import game_log, hit


def test_evidence_of_tools_has_a_row_for_each_trial(tmp_path: Path) -> None:
    shown = Evidence(
        organism="tiny/flattery.a",
        tool="white_box.divergence.kl_prompts",
        feed="target",
        fed_by="tiny/flattery.a",
        clean=("tiny/base",),
        quirk="flattery",
        recipe="transcripts.none",
        entries=30,
        first=1.0,
        area=1.0,
    )
    log = game_log([hit("flattery.a")], name="tools")
    assert log.samples
    log.eval.task, log.eval.scorers = "tool_evidence", [EvalScorer(name="tool_evidence")]
    log.samples[0].scores = {"tool_evidence": Score(value=1.0, metadata={METADATA_KEY: shown.model_dump(mode="json")})}
    write_eval_log(log, str(tmp_path / "2026_tools.eval"))
    write_eval_log(game_log([hit("flattery.a")], name="game"), str(tmp_path / "2026_game.eval"))
    frames = load(tmp_path)
    assert sorted(frames.logs["kind"]) == ["evidence", "game"] and not frames.skipped
    [row] = frames.evidence.to_dict("records")
    assert (row["organism"], row["feed"], row["first"], row["seed"]) == ("tiny/flattery.a", "target", 1.0, 0)
    assert len(frames.audits) == 1
