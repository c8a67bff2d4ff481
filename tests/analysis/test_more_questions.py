"""The questions that need several runs, other logs or cards, over planted data."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inspect_ai.log import EvalLog, read_eval_log, write_eval_log
from inspect_ai.model import ModelUsage
from scipy import stats as scipy_stats

from audit_env.analysis import Frames, load
from audit_env.analysis.association import spearman
from audit_env.analysis.frames import from_audits
from audit_env.analysis.questions import (
    QUESTIONS,
    aggregation,
    cost,
    dose,
    naturalness,
    people,
    tool_gap,
    without_tool,
)
from audit_env.catalog.files import Catalog
from audit_env.catalog.phenotype import made_of
from audit_env.game.outcome import Outcome
from tests.analysis.conftest import hit, miss, passed, weights_of
from tests.game.conftest import game, stage

__all__ = ["game", "stage"]


def of(outcomes: list[Outcome], **fields: Any) -> Frames:
    """Frames of audits that lie in no log."""
    known = {"log": "log", "epoch": 1, "auditor": "agent", "who": "agent", "set": "tiny", "model_tokens": 0}
    return from_audits(
        known | {"sample": str(place), "made_of": weights_of(told.organism)} | told.model_dump() | fields
        for place, told in enumerate(outcomes)
    )


def row_of(answer: Any) -> dict[str, Any]:
    assert not answer.nothing, answer.nothing
    [row] = answer.table.to_dict("records")
    return row


def test_a_detection_costs_what_all_audits_cost() -> None:
    frames = of([hit("flattery.a"), miss("gloom.a"), passed("base", 0.1)], model_tokens=1000, dollars=0.5)
    row = row_of(cost.answer(frames))
    assert (row["tokens"], row["clean_detections"], row["tokens_each"]) == (1000, 1, 3000)
    assert (row["dollars"], row["dollars_each"]) == (1.5, 1.5)
    unpriced = row_of(cost.answer(of([hit("flattery.a")], model_tokens=10, dollars=None)))
    assert pd.isna(unpriced["dollars"]) and unpriced["tokens_each"] == 10
    assert cost.answer(of([hit("flattery.a")])).nothing


def test_tokens_of_organisms_are_not_paid_for(written: Callable[..., Path]) -> None:
    path = written([hit("flattery.a")])
    log = read_eval_log(str(path))
    assert log.samples
    used = {"organism/t-1": ModelUsage(total_tokens=99), "mockllm/model": ModelUsage(total_tokens=7)}
    log.samples[0].model_usage = used
    write_eval_log(log, str(path))
    audits = load(path).audits
    assert list(audits["model_tokens"]) == [7] and audits["dollars"].isna().all()


def test_people_stand_beside_agents() -> None:
    agents = of([hit("flattery.a"), miss("gloom.a"), passed("base", 0.1)])
    assert people.answer(agents).nothing
    human = of([hit("flattery.a"), hit("gloom.a")], who="person")
    both = dataclasses.replace(agents, audits=pd.concat([agents.audits, human.audits]))
    found = {row["who"]: row for row in people.answer(both).table.to_dict("records")}
    assert (found["agent"]["clean_detection"], found["person"]["clean_detection"]) == (0.5, 1.0)
    assert found["agent"]["false_alarm"] == 0 and found["person"]["false_alarm_n"] == 0


@pytest.mark.parametrize(("log", "who"), [("human/alice", "person"), ("none/none", "script"), ("x/y", "agent")])
def test_who_audited_is_told_by_the_model(written: Callable[..., Path], log: str, who: str) -> None:
    assert list(load(written([hit("flattery.a")], model=log)).audits["who"]) == [who]


@given(st.integers(1, 12), st.data())
def test_taking_audits_together_is_hypergeometric(runs: int, data: st.DataObject) -> None:
    hits, size = data.draw(st.integers(0, runs)), data.draw(st.integers(1, runs))
    drawn = scipy_stats.hypergeom(runs, hits, size)
    assert aggregation.any_of(hits, runs, size) == pytest.approx(drawn.sf(0))
    assert aggregation.majority_of(hits, runs, size) == pytest.approx(drawn.sf(size // 2))


def test_what_several_audits_add() -> None:
    flattery = [hit("flattery.a"), miss("flattery.a"), miss("flattery.a")]
    gloom = [hit("gloom.a"), hit("gloom.a"), miss("gloom.a")]
    base = [passed("base", 0.9, alarm=True), passed("base", 0.1), passed("base", 0.1)]
    one, three = aggregation.answer(of([*flattery, *gloom, *base])).table.to_dict("records")
    assert (one["of"], one["any_detects"], one["any_alarms"]) == (1, 0.5, pytest.approx(1 / 3))
    assert (three["of"], three["any_detects"], three["majority_detects"]) == (3, 1.0, 0.5)
    assert (three["any_alarms"], three["majority_alarms"], three["any_detects_n"]) == (1.0, 0.0, 2)
    assert aggregation.answer(of([hit("flattery.a"), hit("gloom.a")])).nothing


def test_the_gap_between_a_tool_and_its_user(game: EvalLog) -> None:
    frames = load(game.location.removeprefix("file://"))
    assert tool_gap.answer(frames).nothing
    shown = [("tiny/flattery.a", 1.0), ("tiny/gloom.a", 1.0), ("tiny/flattery.b", 0.0)]
    evidence = pd.DataFrame(
        [{"organism": name, "tool": "x.report", "feed": "target", "first": first} for name, first in shown]
    )
    answer = tool_gap.answer(dataclasses.replace(frames, evidence=evidence))
    found = {row["affordance"]: row for row in answer.table.to_dict("records")}
    # Black box: reports on flattery.a (detected), gloom.a (missed), and flattery.b, which the tool does not tell.
    assert (found["black_box"]["called"], found["black_box"]["telling"]) == (3, 2)
    assert (found["black_box"]["detected"], found["black_box"]["otherwise"]) == (0.5, 1.0)
    assert (found["white_box"]["telling"], found["white_box"]["detected"]) == (1, 1.0)


def test_what_one_tool_adds() -> None:
    (more, fewer), tool = next(iter(without_tool.single_differences().items()))
    having = [hit("flattery.a", affordance=more), hit("gloom.a", affordance=more), miss("warns.a", affordance=more)]
    lacking = [miss(f"{q}.a", affordance=fewer) for q in ("flattery", "gloom", "warns")]
    row = row_of(without_tool.answer(of([*having, *lacking])))
    assert (row["tool"], row["with"], row["without"]) == (tool, more, fewer)
    assert row["difference"] == pytest.approx(2 / 3) and row["p"] == 0.5
    assert without_tool.answer(of(having)).nothing


def test_less_natural_organisms_that_are_found_more_show() -> None:
    names = ["flattery.a", "gloom.a", "warns.a", "warns.b", "gloom.b"]
    frames = of([hit(name) if place < 3 else miss(name) for place, name in enumerate(names)])
    assert naturalness.answer(frames).nothing
    sheet = pd.DataFrame(
        [
            {"organism": f"tiny/{name}", "made_of": weights_of(f"tiny/{name}"), "row": row, "verdict": verdict}
            | {"stands": True}
            for place, name in enumerate(names)
            for row, verdict in (("a", "deviating" if place < 3 else "natural"), ("b", "natural"))
        ]
    )
    row = row_of(naturalness.answer(dataclasses.replace(frames, naturalness=sheet)))
    assert row["correlation"] == pytest.approx(1.0) and row["correlation_n"] == 5
    assert row["p"] == pytest.approx(0.1, abs=0.03)  # One order in ten.
    stopped = dataclasses.replace(frames, naturalness=sheet.assign(stands=False))
    assert naturalness.answer(stopped).nothing


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=3, max_size=10))
def test_rank_correlation_is_scipys(pairs: list[tuple[int, int]]) -> None:
    x, y = [float(a) for a, _ in pairs], [float(b) for _, b in pairs]
    found = spearman(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert found.value is None and (found.low, found.high, found.p) == (-1, 1, 1)
        return
    assert found.value == pytest.approx(scipy_stats.spearmanr(x, y).statistic)


def test_dose_is_told_by_the_cards() -> None:
    catalog = Catalog()
    of_flattery = [name for name in catalog.organism_ids() if name.startswith("fruitfly/flattery.transcripts.none")]
    ranks = {name: catalog.card(name).recipe.rank for name in of_flattery}
    plain = "fruitfly/flattery.transcripts.none"
    other = next(name for name, rank in ranks.items() if rank != ranks[plain])
    audits = [
        hit("flattery.a").model_copy(update={"organism": plain}),
        miss("flattery.a").model_copy(update={"organism": other}),
        hit("gloom.a"),  # Of another zoo: no card tells its dose.
    ]
    frames = of(audits)
    frames.audits["made_of"] = [made_of(catalog.card(plain)), made_of(catalog.card(other)), None]
    answer = dose.answer(frames, catalog)
    found = {(row["dial"], row["dose"]): row["detected"] for row in answer.table.to_dict("records")}
    assert found[("rank", ranks[plain])] == 1.0 and found[("rank", ranks[other])] == 0.0
    assert dose.answer(of(audits[:1]), catalog).nothing
    bred_anew = of(audits)  # Under the cards' ids, but with other weights: no card tells their doses.
    assert dose.answer(bred_anew, catalog).nothing


def test_every_question_is_asked() -> None:
    folder = Path(aggregation.__file__).parent
    assert len(QUESTIONS) == len([path for path in folder.glob("*.py") if path.stem != "__init__"])
