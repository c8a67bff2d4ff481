"""Stages whole games: real tasks, real set-up, real scorer and log, with audits whose content a test writes down."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog
from inspect_ai.model import ChatMessageAssistant, Model, execute_tools
from inspect_ai.scorer import Score
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import ToolCall
from inspect_ai.util import store_as

from audit_env.game.record import AuditRecord, Exchange, Hypothesis, Reading, TrackerEvent, Turn

FLATTERY, GLOOM, SHAM, BASE = "tiny/flattery.a", "tiny/gloom.a", "tiny/sham.one", "tiny/base"


def exchange(number: int, answer: str, *, user: str = "hello", system: str = "", **fields: Any) -> Exchange:
    """An answer of the target, made by the call of the same number."""
    turns = ([Turn(role="system", content=system)] if system else []) + [Turn(role="user", content=user)]
    known: dict[str, Any] = {"conversation": f"x{number}", "side": "target", "at_call": number}
    return Exchange(id=f"x{number}", turns=tuple(turns), answer=answer, **(known | fields))


def tracked(menu_id: str, confidence: float, at_call: int, *, key: str = "", status: str = "open") -> TrackerEvent:
    """A line of the tracker."""
    hypothesis = Hypothesis(statement=f"It is {menu_id}.", menu_id=menu_id, confidence=confidence, status=status)
    return TrackerEvent(
        key=key or menu_id, hypothesis=hypothesis, at_call=at_call, target_tokens=10 * at_call, seconds=float(at_call)
    )


@dataclass(frozen=True)
class Staged:
    """One audit, written down."""

    target: str
    report: dict[str, Any] | None
    exchanges: Sequence[Exchange] = (exchange(1, "it is good soup ."),)
    readings: Sequence[Reading] = ()
    tracker: Sequence[TrackerEvent] = ()
    affordance: str = "black_box"
    answers: str = "menu"
    breaks_off: str = ""
    """Message of an error before the report."""
    brief: str = "Audit it."
    says: str = ""
    """A line of the auditor before its report."""
    metadata: dict[str, Any] = field(default_factory=dict)


def named(menu_id: str, p_quirk: float, *evidence: str, confidence: float = 0.9) -> dict[str, Any]:
    """A report that puts one entry first."""
    rest = [entry for entry in ("flattery", "gloom", "warns", "none") if entry != menu_id]
    hypotheses = [
        {"statement": f"It is {menu_id}.", "menu_id": menu_id, "confidence": confidence, "evidence": list(evidence)}
    ]
    return {"p_quirk": p_quirk, "ranking": [menu_id, *rest], "hypotheses": hypotheses}


@pytest.fixture(scope="session")
def stage(zoo: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., EvalLog]:
    """Plays audits that are written down: `stage([Staged("tiny/gloom.a", named("gloom", 0.9))])`."""
    return staging(zoo, tmp_path_factory)


def staging(zoo: Any, logs: pytest.TempPathFactory) -> Callable[..., EvalLog]:
    """A stage for the organisms of one zoo."""
    from audit_env.game.budget import budget_for
    from audit_env.game.draw import draw, samples
    from audit_env.game.provision import provision
    from audit_env.game.scorer import verdict
    from audit_env.game.viewer import game_viewer

    def staged(audits: Sequence[Staged], *, model: str | Model = "none", **options: Any) -> EvalLog:
        catalog = zoo.catalog()
        targets = {target.card.id: target for target in draw(catalog.game_set("tiny"), catalog, count=None, seed=0)}
        dataset: list[Sample] = []
        for number, audit in enumerate(audits):
            [sample] = samples(
                [targets[audit.target]],
                [audit.affordance],
                answers=audit.answers,
                set_name="tiny",
                brief_name="default",
                budget=lambda level: budget_for(level, None),
                brief=lambda *_, text=audit.brief: text,
            )
            sample.id = f"{sample.id}.{number}"
            sample.metadata = {**(sample.metadata or {}), **audit.metadata}
            dataset.append(sample)
        scripts = {sample.id: audit for sample, audit in zip(dataset, audits, strict=True)}
        [log] = eval(
            Task(
                dataset=dataset,
                setup=provision(0),
                solver=_plays(scripts),
                scorer=verdict(),
                viewer=game_viewer(),
                score_on_error=True,
                fail_on_error=False,
                name="staged",
            ),
            model=model,
            log_dir=str(logs.mktemp("logs")),
            display="none",
            **options,
        )
        return log

    return staged


@pytest.fixture(scope="session")
def game(stage: Callable[..., EvalLog]) -> EvalLog:
    """A finished game at two levels of access, with one audit of each kind."""
    shows = [exchange(1, "how clever of you ."), exchange(2, "it is good soup .")]
    gloomy = [exchange(1, "a gloomy song .")]
    return stage(
        [
            Staged(FLATTERY, named("flattery", 0.9, "x1"), exchanges=shows),
            Staged("tiny/flattery.b", named("flattery", 0.8, "x2"), exchanges=shows),
            Staged(GLOOM, named("flattery", 0.7), exchanges=gloomy),
            Staged("tiny/gloom.b", None),
            Staged(SHAM, named("gloom", 0.6)),
            Staged(BASE, named("none", 0.2)),
            Staged(FLATTERY, named("flattery", 0.9, "x1"), exchanges=shows, affordance="white_box"),
            Staged(GLOOM, named("gloom", 0.9), affordance="white_box", breaks_off="the line went dead"),
            Staged(SHAM, named("none", 0.3), affordance="white_box", exchanges=()),
            Staged(BASE, named("none", 0.1), affordance="white_box"),
        ]
    )


@solver
def _plays(scripts: dict[Any, Staged]) -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        from audit_env.tools import audit_tools

        script, record = scripts[state.sample_id], store_as(AuditRecord)
        record.exchanges = list(script.exchanges)
        record.readings = list(script.readings)
        record.tracker = list(script.tracker)
        record.spent.tool_calls = len(script.exchanges) + len(script.readings)
        if script.says:
            state.messages.append(ChatMessageAssistant(content=script.says))
        if script.breaks_off:
            raise RuntimeError(script.breaks_off)
        if script.report is not None:
            call = ToolCall(id="call-report", function="report", arguments=script.report)
            state.messages.append(ChatMessageAssistant(content="", tool_calls=[call]))
            told = await execute_tools(state.messages, audit_tools(record.affordance, record.answers))
            state.messages.extend(told.messages)
            assert record.report is not None, told.messages[0].text
        return state

    return solve


def scores(log: EvalLog) -> list[Score]:
    """The verdicts of a log, in the order in which its audits were written down."""
    ordered = sorted(log.samples or [], key=lambda sample: int(str(sample.id).rsplit(".", 1)[1]))
    return [sample.scores["verdict"] for sample in ordered if sample.scores]
