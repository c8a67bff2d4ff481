import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from inspect_ai import eval
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.agent import Agent, AgentState, agent
from inspect_ai.log import EvalLog
from inspect_ai.model import ChatMessageAssistant, ModelOutput, ModelUsage, execute_tools, get_model
from inspect_ai.tool import ToolCall
from inspect_ai.util import store_as

from audit_env.agents import default_auditor
from audit_env.game.leaks import truth_leaks
from audit_env.game.record import AuditRecord
from audit_env.tasks import hidden_objective as module
from audit_env.tasks.hidden_objective import hidden_objective
from audit_env.tools import audit_tools

TASK = Path(module.__file__)


@pytest.fixture(autouse=True)
def organisms(zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task finds the tiny organisms in place of the shipped ones, and a short script in place of the long one."""
    monkeypatch.setattr(module, "Catalog", lambda: zoo.catalog())
    monkeypatch.setattr(default_auditor, "scripted", greeter)


@agent
def greeter() -> Agent:
    """Says hello and reports a guess that depends on the answer alone."""

    async def execute(state: AgentState) -> AgentState:
        record = store_as(AuditRecord)
        tools = audit_tools(record.affordance, record.answers)

        async def call(name: str, **arguments: object) -> None:
            request = ToolCall(id=name, function=name, arguments=arguments)
            state.messages.append(ChatMessageAssistant(content="", tool_calls=[request]))
            state.messages.extend((await execute_tools(state.messages, tools)).messages)

        await call("chat", message="hello")
        length = len(record.exchanges[0].answer)
        await call("report", p_quirk=length % 10 / 10, ranking=[record.menu[length % len(record.menu)]])
        return state

    return execute


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., EvalLog]:
    def ran(max_samples: int = 16, model: object = "none", epochs: int = 1, **parameters: object) -> EvalLog:
        [log] = eval(
            hidden_objective(**{"set": "tiny"} | parameters),
            model=model,
            max_samples=max_samples,
            epochs=epochs,
            log_dir=str(tmp_path / "logs"),
            display="none",
        )
        assert log.status == "success", log.error
        return log

    return ran


def test_it_composes_a_game_of_every_target_at_every_level() -> None:
    task = hidden_objective(set="tiny")
    assert len(task.dataset) == 6 * 3
    assert {sample.metadata["affordance"] for sample in task.dataset} == {"blind", "black_box", "white_box"}
    assert task.score_on_error
    assert task.fail_on_error is False
    assert task.model is None
    assert task.metadata == {"protocol": 1, "set": "tiny", "seed": 0}


def test_parameters_are_read_as_people_type_them() -> None:
    task = hidden_objective(set="tiny", affordance="grey_box,blind", targets="2", seed="1e1", budget="tool_calls:9")
    assert len(task.dataset) == 4
    assert {sample.metadata["budget"]["tool_calls"] for sample in task.dataset} == {9, 1}
    assert "Of the 2 targets in this game, 1 have" in str(
        hidden_objective(set="tiny", targets=2, base_rate="stated").dataset[0].input
    )
    assert "was planted in it" in str(hidden_objective(set="tiny", brief="planted").dataset[0].input)


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"affordance": "whitebox"}, "'affordance' cannot be 'whitebox'; did you mean 'white_box'?"),
        ({"answers": "menue"}, "did you mean 'menu'?"),
        ({"brief": "plantd"}, "did you mean 'planted'? Valid names: default, planted"),
        ({"base_rate": "given"}, "Valid names: withheld, stated"),
        ({"brief": "planted", "base_rate": "stated"}, "cannot be 'stated' with brief 'planted'"),
        ({"set": "tinny"}, "unknown game set 'tinny'; did you mean 'tiny'?"),
        ({"targets": 0}, "'targets' must be a whole number of at least 1, not '0'"),
        ({"targets": 99}, "'targets' asks for 99"),
        ({"budget": "much"}, "'budget.tool_calls' must be a whole number"),
        ({"seed": "x"}, "'seed' must be a whole number"),
        ({"redact": "leak"}, "'redact' cannot be 'leak'; did you mean 'leaks'?"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(parameters: dict[str, object], complaint: str) -> None:
    with pytest.raises(PrerequisiteError) as refused:
        hidden_objective(**{"set": "tiny"} | parameters)
    assert complaint in str(refused.value.message)
    assert "\n" not in str(refused.value.message)


def test_the_same_seed_gives_the_same_audits_whatever_runs_beside_them(run) -> None:
    alone, together = (run(max_samples=most, targets=3, affordance="blind,black_box") for most in (1, 64))
    told = [
        {
            sample.id: (
                sample.scores["verdict"].value,
                [exchange.answer for exchange in sample.store_as(AuditRecord).exchanges],
            )
            for sample in log.samples or []
        }
        for log in (alone, together)
    ]
    assert len(told[0]) == 6
    assert told[0] == told[1]


def test_every_epoch_is_another_audit_under_the_same_name(run) -> None:
    first, second = run(epochs=2, targets=1, affordance="blind").samples or []
    assert first.id == second.id
    assert first.store_as(AuditRecord).seed != second.store_as(AuditRecord).seed


def auditor(messages: list[object], *_: object) -> ModelOutput:
    """A model that says hello and reports."""
    calls = [("chat", {"message": "hello"}), ("report", {"p_quirk": 0.9, "ranking": ["gloom"]})]
    output = ModelOutput.for_tool_call("mockllm/model", *calls[len(messages) > 3])
    output.usage = ModelUsage(input_tokens=5, output_tokens=5, total_tokens=10)
    return output


def test_by_name_a_model_gets_black_box_access(tmp_path: Path) -> None:
    [log] = eval(
        "audit_env/hidden_objective",
        task_args={"set": "tiny", "targets": 1},
        model=get_model("mockllm/model", custom_outputs=auditor),
        log_dir=str(tmp_path),
        display="none",
    )
    [sample] = log.samples or []
    assert str(sample.id).endswith(".black_box")
    assert sample.store_as(AuditRecord).report is not None


def test_a_model_investigates_by_talking(run) -> None:
    log = run(model=get_model("mockllm/model", custom_outputs=auditor), affordance="black_box", targets=2)
    assert len(log.samples or []) == 2
    for sample in log.samples or []:
        record = sample.store_as(AuditRecord)
        assert record.report is not None
        assert record.opened is not None
        assert "auditor tokens]" in sample.messages[3].text


def test_nothing_that_an_auditor_reads_tells_the_truth(run, zoo) -> None:
    log = run(affordance="black_box")
    secrets = ["tiny/", "flattery.a", "flattery.b", "gloom.a", "gloom.b", str(zoo.root), "safetensors"]
    for sample in log.samples or []:
        told = json.dumps([sample.id, sample.metadata, sample.target, [m.model_dump() for m in sample.messages]])
        assert not [secret for secret in secrets if secret in told]


@pytest.mark.slow
def test_a_user_sees_the_sentence_and_no_traceback() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "inspect_ai", "eval", TASK.name, "-T", "affordance=whitebox"],
        cwd=TASK.parent,
        capture_output=True,
        text=True,
        env=os.environ | {"INSPECT_DISPLAY": "plain"},
    )
    assert told.returncode != 0
    shown = " ".join((told.stdout + told.stderr).split())
    assert "Parameter 'affordance' cannot be 'whitebox'; did you mean 'white_box'? Valid names: blind," in shown
    assert "Traceback" not in shown


@agent
def believer() -> Agent:
    """Names what it is told to from a reading of the weights, whatever that shows."""

    async def execute(state: AgentState) -> AgentState:
        record = store_as(AuditRecord)
        tools = audit_tools(record.affordance, record.answers)
        guess = {"statement": "It is gloomy.", "menu_id": "gloom", "confidence": 0.9, "evidence": ["r1"]}
        for name, arguments in (
            ("read_weights", {}),
            ("report", {"p_quirk": 0.9, "ranking": ["gloom"], "hypotheses": [guess]}),
        ):
            request = ToolCall(id=name, function=name, arguments=arguments)
            state.messages.append(ChatMessageAssistant(content="", tool_calls=[request]))
            state.messages.extend((await execute_tools(state.messages, tools)).messages)
        return state

    return execute


def test_who_believes_sham_tools_is_counted_and_never_cleanly_right(run, monkeypatch) -> None:
    monkeypatch.setattr(default_auditor, "scripted", believer)
    fed = run(affordance="white_box", sham_tools="null:1")
    assert truth_leaks(fed) == []
    outcomes = [sample.scores["verdict"].metadata["outcome"] for sample in fed.samples or []]
    assert {outcome["sham_tools"] for outcome in outcomes} == {"null:1"}
    assert {outcome["sham_cited"] for outcome in outcomes} == {True}
    detected = [outcome for outcome in outcomes if outcome["detected"]]
    assert detected and {outcome["evidence"] for outcome in detected} == {"sham"}
    assert not any(outcome["clean_detection"] for outcome in detected)
    assert {tuple(sample.store["AuditRecord:opened"]["fed_by_sham"]) for sample in fed.samples or []} == {(1,)}
    metrics = fed.results.scores[0].metrics
    assert metrics["sham_cited_white_box"].value == 1
    plain = run(affordance="white_box")
    assert "sham_cited_white_box" not in plain.results.scores[0].metrics
    sham_cited = [sample.scores["verdict"].metadata["outcome"]["sham_cited"] for sample in plain.samples or []]
    assert set(sham_cited) == {None}


def test_a_feed_that_means_nothing_is_refused_before_the_run() -> None:
    with pytest.raises(PrerequisiteError, match="'sham_tools' cannot be 'basis'"):
        hidden_objective(set="tiny", sham_tools="basis")
