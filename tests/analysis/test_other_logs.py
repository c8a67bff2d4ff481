"""Logs of other tasks, beside games: tool evidence, phenotypes, persistence, naturalness, judges. Tables by hand."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog, read_eval_log, write_eval_log
from inspect_ai.log._log import EvalScorer
from inspect_ai.model import get_model
from inspect_ai.solver import use_tools
from scipy import stats as scipy_stats

from audit_env.analysis import Frames, load
from audit_env.analysis.questions import QUESTIONS, naturalness_rows, persistence, phenotype, tools
from audit_env.analysis.report import report
from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Rate
from audit_env.catalog.phenotype import Beside, Conditions, Firing, Phenotype, Treated, made_of
from audit_env.evidence.evidence_eval import METADATA_KEY, Evidence
from audit_env.game import showing, table
from audit_env.game.judging.agreement import agreement
from audit_env.game.judging.judges import MEASURED_KEY
from audit_env.game.judging.validation import verdicts_of
from audit_env.game.scorer import verdict
from audit_env.phenotype.strength_eval import SHEET as PHENOTYPE_KEY
from audit_env.stats import clustered_wilson
from audit_env.tasks.judge_validation import judge_validation
from tests.analysis.conftest import game_log, hit, miss, passed
from tests.analysis.whole import HIDDEN, LOYAL, PLAIN, sheets_log

CONDITIONS = Conditions(code="0.1.0", seeds=(0,), temperature=0.7, max_tokens=64)


def rows_of(answer: Any) -> list[dict[str, Any]]:
    assert not answer.nothing, answer.nothing
    return answer.table.to_dict("records")


def logged(folder: Path, *logs: EvalLog) -> Frames:
    for place, log in enumerate(logs):
        write_eval_log(log, str(folder / f"2026_{place}.eval"))
    return load(folder)


def rate(value: float, n: int = 10) -> Rate:
    return Rate(rate=value, n=n, low=max(value - 0.1, 0), high=min(value + 0.1, 1))


def sheet(organism: str, fire: float, *, base: float = 0.1, sha: str | None = None, **parts: Any) -> Phenotype:
    card = Catalog().card(organism)
    return Phenotype(
        organism=organism,
        quirk=card.quirk,
        weights_sha256=sha or made_of(card),
        firing=Firing(
            conditions=CONDITIONS,
            fire=Beside(target=rate(fire), base=rate(base), sham=rate(0.0)),
            silent=Beside(target=rate(0.0), base=rate(0.0)),
        ),
        **parts,
    )


def evidence(organism: str, quirk: str, feed: str, area: float, **fields: Any) -> Evidence:
    known: dict[str, Any] = {"tool": "white_box.divergence.kl_prompts", "fed_by": organism, "clean": ("tiny/base",)}
    shown = {"recipe": "transcripts.none", "entries": 30, "first": float(area == 1), "reciprocal_rank": 1.0}
    return Evidence(organism=organism, quirk=quirk, feed=feed, area=area, **known | shown | fields)  # type: ignore[arg-type]


def test_evidence_of_tools_has_a_row_for_each_trial(tmp_path: Path) -> None:
    log = sheets_log("tool_evidence", "tool_evidence", METADATA_KEY, [evidence("tiny/a", "flattery", "target", 1.0)])
    frames = logged(tmp_path, log, game_log([hit("flattery.a")], name="game"))
    assert sorted(frames.logs["kind"]) == ["evidence", "game"] and not frames.skipped
    [row] = frames.evidence.to_dict("records")
    assert (row["organism"], row["feed"], row["first"], row["seed"]) == ("tiny/a", "target", 1.0, 0)
    assert len(frames.audits) == 1


def test_what_a_tool_tells_alone_stands_beside_what_it_shows_of_anything(tmp_path: Path) -> None:
    shown = [("tiny/a", "flattery", 1.0, 0.5), ("tiny/b", "gloom", 0.9, 0.6), ("tiny/c", "warns", 0.8, 0.4)]
    sheets = [
        evidence(name, quirk, feed, area)
        for name, quirk, own, base in shown
        for feed, area in (("target", own), ("base", base))
    ]
    blind = [evidence(n, q, f, 0.5, tool="black_box.x.y") for n, q, *_ in shown for f in ("target", "base")]
    frames = logged(tmp_path, sheets_log("tool_evidence", "tool_evidence", METADATA_KEY, [*sheets, *blind]))
    telling, silent = rows_of(tools.answer(frames))
    assert (telling["tool"], telling["target"], telling["base"]) == ("kl_prompts", pytest.approx(0.9), 0.5)
    low, high = scipy_stats.ttest_1samp([1.0, 0.9, 0.8], 0).confidence_interval()
    assert (telling["target_low"], telling["target_high"]) == (pytest.approx(low, abs=1e-6), min(high, 1.0))
    assert (telling["first"], telling["target_n"], telling["apart"]) == (pytest.approx(1 / 3), 3, False)
    assert (silent["target"], silent["apart"]) == (0.5, False)


def test_firing_by_recipe_beside_its_controls(tmp_path: Path) -> None:
    sheets = [sheet(PLAIN, 0.8), sheet(LOYAL, 1.0, base=0.3), sheet(HIDDEN, 0.6)]
    frames = logged(tmp_path, sheets_log("quirk_strength", "phenotype", PHENOTYPE_KEY, [*sheets, None]))
    found = {(row["measure"], row["recipe"]): row for row in rows_of(phenotype.answer(frames))}
    assert set(found) == {(m, r) for m in ("fire", "silent") for r in ("transcripts", "transcripts + sft")}
    plain = found[("fire", "transcripts")]
    expected = clustered_wilson([0.8, 1.0], "ab")
    assert (plain["target"], plain["target_low"], plain["target_high"]) == (0.9, expected.low, expected.high)
    assert (plain["base"], plain["sham"], plain["organisms"], plain["target_n"]) == (0.2, 0.0, 2, 20)
    alone = found[("fire", "transcripts + sft")]  # Of one organism, its own interval.
    assert (alone["target"], alone["target_low"], alone["target_high"]) == (0.6, 0.5, pytest.approx(0.7))
    assert list(frames.logs["empty"]) == [1]
    assert any("could not be judged, and are in no figure: 1" in line for line in report([tmp_path]).lines)


def test_recipes_are_told_by_the_cards_of_the_same_weights_alone(tmp_path: Path) -> None:
    frames = logged(
        tmp_path, sheets_log("quirk_strength", "phenotype", PHENOTYPE_KEY, [sheet(PLAIN, 0.8, sha="0" * 64)])
    )
    assert {row["recipe"] for row in rows_of(phenotype.answer(frames))} == {"(no card)"}


def test_what_quirks_outlive(tmp_path: Path) -> None:
    def treated(on: float) -> tuple[Treated, ...]:
        known: dict[str, Any] = {"conditions": CONDITIONS, "off_trigger": rate(0.0)}
        return (
            Treated(treatment="none", amount=0, on_trigger=rate(0.9), **known),
            Treated(treatment="benign_sft", amount=40, on_trigger=rate(on), **known),
        )

    sheets = [sheet(PLAIN, 0.9, persistence=treated(0.2)), sheet(LOYAL, 0.9, persistence=treated(0.6))]
    frames = logged(tmp_path, sheets_log("persistence", "persistence", PHENOTYPE_KEY, sheets))
    trained, untouched = rows_of(persistence.answer(frames))
    assert (trained["treatment"], trained["amount"], trained["recipe"]) == ("benign_sft", 40, "transcripts")
    expected = clustered_wilson([0.2, 0.6], "ab")
    assert (trained["on_trigger"], trained["on_trigger_low"]) == (pytest.approx(0.4), pytest.approx(expected.low))
    assert (trained["off_trigger"], trained["on_trigger_n"], trained["organisms"]) == (0.0, 20, 2)
    assert untouched["on_trigger"] == pytest.approx(0.9)


def test_naturalness_row_by_row(whole: Frames) -> None:
    found = {row["row"]: row for row in rows_of(naturalness_rows.answer(whole))}
    gaps = [0.0, 0.1, 0.2, 0.3]
    low, high = scipy_stats.ttest_1samp(gaps, 0).confidence_interval()
    row = found["refusals"]
    assert (row["difference"], row["difference_n"]) == (pytest.approx(0.15), 4)
    assert (row["difference_low"], row["difference_high"]) == (pytest.approx(low), pytest.approx(high))
    assert (row["base"], row["organism"], row["sham"]) == pytest.approx((0.1, 0.25, 0.1))
    assert (row["natural"], row["deviating"], row["inconclusive"]) == (2, 2, 0)
    assert found["leaks"]["difference"] == pytest.approx(0.05 * (0 + 1 + 4 + 9) / 4)


def test_a_game_alone_answers_none_of_these(tmp_path: Path) -> None:
    frames = logged(tmp_path, game_log([hit("flattery.a")]))
    for key in ("tools", "phenotype", "persistence", "naturalness_rows"):
        assert "no log of tasks/" in QUESTIONS[key](frames).nothing


def test_a_trial_counts_nowhere(tmp_path: Path) -> None:
    trial = game_log([hit("flattery.a")], model="human/alice", name="trial")
    trial.eval.tags = ["trial"]
    frames = logged(tmp_path, trial, game_log([miss("gloom.a")], name="game"))
    assert len(frames.audits) == 1 and [one.why.startswith("a trial") for one in frames.skipped] == [True]


class TestJudges:
    def game(self, **score: Any) -> EvalLog:
        audits = [hit("flattery.a"), miss("gloom.a"), passed("base", 0.1)]
        log = game_log([one.model_copy(update={"answers": "open"}) for one in audits], name="open")
        log.eval.scorers = [EvalScorer(name="verdict", options={"judge": "lexical"})]
        assert log.samples and log.samples[0].scores
        log.samples[0].scores["verdict"].metadata.update(score)  # type: ignore[union-attr]
        return log

    def test_the_kappa_that_a_judge_brings_along_stands_in_its_row(self, tmp_path: Path) -> None:
        brought = {"kappa": 0.47, "low": 0.34, "high": 0.6, "sensitivity": 0.6, "specificity": 0.8, "n": 154}
        frames = logged(tmp_path, self.game(**{MEASURED_KEY: brought}), game_log([hit("flattery.a")], name="menu"))
        closed, by_judge = table.results(frames.audits).sort_values("answers").to_dict("records")
        assert (by_judge["judge"], by_judge["judge_kappa"], by_judge["judge_kappa_n"]) == ("lexical", 0.47, 154)
        assert pd.isna(closed["judge"]) and closed["audits"] == 1
        text = showing.markdown(table.results(frames.audits))
        assert "| Judge's kappa |" in text and "| 0.47 [0.34, 0.60] |" in text and "(lexical on 154)" in text
        [detection] = [row for row in rows_of(QUESTIONS["detection"](frames)) if row["judge"] == "lexical"]
        assert (detection["judge_kappa"], detection["judge_kappa_low"]) == (0.47, 0.34)

    def test_a_judge_that_nobody_measured_is_named(self, tmp_path: Path) -> None:
        frames = logged(tmp_path, self.game())
        assert "How far lexical can be trusted as a judge is not known" in showing.markdown(
            table.results(frames.audits)
        )

    def test_a_log_of_its_validation_measures_it(self, tmp_path: Path) -> None:
        [validated] = eval(
            judge_validation(judge="lexical"), model="none", limit=24, log_dir=str(tmp_path), display="none"
        )
        known = agreement(verdicts_of(read_eval_log(validated.location))).kappa
        frames = logged(tmp_path, self.game())
        assert not frames.skipped and len(frames.judges) == 1
        [row] = table.results(frames.audits).to_dict("records")
        assert [row[name] for name in table.JUDGED] == pytest.approx([known.value, known.low, known.high, 24])

    def test_a_grader_goes_by_its_model_and_votes(self, tmp_path: Path) -> None:
        for role, options, name in (
            ({"grader": get_model("mockllm/wise")}, {"votes": 3}, "mockllm/wise x3"),
            (None, {"judge": "lexical"}, "lexical"),
        ):
            [log] = eval(
                Task([Sample("Audit it.")], solver=use_tools(), scorer=verdict(**options), name="hidden_objective"),  # type: ignore[arg-type]
                model="mockllm/model",
                model_roles=role,  # type: ignore[arg-type]
                log_dir=str(tmp_path / name.replace(" ", "_").replace("/", "_")),
                display="none",
            )
            # What a real log of a game says of its judge; this one has no answers to judge.
            path = Path(log.location.removeprefix("file://"))
            opened = read_eval_log(str(path))
            assert opened.samples and opened.samples[0].scores
            opened.samples[0].scores["verdict"].metadata["outcome"]["answers"] = "open"  # type: ignore[index]
            write_eval_log(opened, str(path))
            assert list(load(path).audits["judge"]) == [name]
