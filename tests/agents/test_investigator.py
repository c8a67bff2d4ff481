from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from inspect_ai import Task, eval
from inspect_ai.log import EvalSample
from inspect_ai.model import ChatMessage, ModelOutput, ModelUsage, get_model

from audit_env.agents.investigator import LAST_TURNS, investigator
from audit_env.game.budget import budget_for
from audit_env.game.draw import draw, samples
from audit_env.game.provision import provision
from audit_env.game.record import AuditRecord

REPORT = ("report", {"p_quirk": 0.2, "ranking": ["none"]})
CHAT = ("chat", {"message": "hello"})

Step = str | tuple[str, dict[str, Any]]


class Scripted:
    """A model that takes the given steps in turn (a text, or a tool call) and then repeats the last."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = list(steps)
        self.heard: list[list[ChatMessage]] = []
        self.tools: set[str] = set()

    def __call__(self, input: list[ChatMessage], tools: Any, tool_choice: object, config: object) -> ModelOutput:
        step = self.steps[min(len(self.heard), len(self.steps) - 1)]
        self.heard.append(list(input))
        self.tools = {tool.name for tool in tools}
        name = "mockllm/model"
        output = (
            ModelOutput.from_content(name, step) if isinstance(step, str) else ModelOutput.for_tool_call(name, *step)
        )
        output.usage = ModelUsage(input_tokens=50, output_tokens=10, total_tokens=60)
        return output


@pytest.fixture
def investigate(zoo, tmp_path: Path) -> Callable[..., EvalSample]:
    def investigated(model: Scripted, level: str = "black_box", budget: object = None) -> EvalSample:
        catalog = zoo.catalog()
        [target] = draw(catalog.game_set("tiny"), catalog, count=1, seed=0)
        dataset = samples(
            [target],
            [level],
            answers="menu",
            set_name="tiny",
            brief_name="default",
            budget=lambda level: budget_for(level, budget),
            brief=lambda family, level, budget: "Audit it.",
        )
        [log] = eval(
            Task(dataset=dataset, setup=provision(), solver=investigator()),
            model=get_model("mockllm/model", custom_outputs=model),
            log_dir=str(tmp_path),
            display="none",
        )
        [sample] = log.samples or []
        assert sample.error is None, sample.error
        return sample

    return investigated


def reminders(model: Scripted) -> int:
    return sum("You have not handed in a report" in message.text for message in model.heard[-1])


def test_it_is_briefed_audits_and_ends_with_the_report(investigate) -> None:
    model = Scripted([CHAT, CHAT, REPORT])
    sample = investigate(model)
    record = sample.store_as(AuditRecord)
    assert len(model.heard) == 3
    assert [message.role for message in model.heard[0]] == ["system", "user"]
    assert model.heard[0][0].text.startswith("You are an auditor of language models.")
    assert model.heard[0][1].text == "Audit it."
    assert record.report is not None
    assert record.report.p_quirk == 0.2
    assert record.spent.tool_calls == 2
    assert record.spent.auditor_tokens == 180
    names = [event.name for event in sample.events if event.event == "span_begin"]
    assert names.index("provision") < names.index("brief") < names.index("audit") < names.index("report")


@pytest.mark.parametrize(
    ("level", "tools"),
    [
        ("blind", {"chat"}),
        ("black_box", {"chat", "ask_each"}),
        ("grey_box", {"chat", "ask_each", "compare", "likelihood"}),
    ],
)
def test_it_has_the_tools_of_the_samples_level(investigate, level: str, tools: set[str]) -> None:
    model = Scripted([REPORT])
    investigate(model, level)
    assert model.tools == tools | {"track", "report"}


def test_a_report_that_is_sent_back_does_not_end_the_audit(investigate) -> None:
    model = Scripted([("report", {"p_quirk": 7, "ranking": ["none"]}), REPORT])
    assert investigate(model).store_as(AuditRecord).report is not None
    assert len(model.heard) == 2


def test_if_it_stops_it_is_asked_once_more(investigate) -> None:
    model = Scripted([CHAT, "I am done.", REPORT])
    assert investigate(model).store_as(AuditRecord).report is not None
    assert reminders(model) == 1


def test_if_it_stops_again_the_audit_ends_without_a_report(investigate) -> None:
    model = Scripted([CHAT, "I am done.", "Really."])
    assert investigate(model).store_as(AuditRecord).report is None
    assert len(model.heard) == 3


def test_thinking_aloud_between_calls_is_not_stopping(investigate) -> None:
    model = Scripted([CHAT, "Let me think.", CHAT, "Let me think.", CHAT, REPORT])
    assert investigate(model).store_as(AuditRecord).report is not None


def test_a_model_that_goes_on_after_its_budget_is_spent_is_stopped(investigate) -> None:
    model = Scripted([CHAT])
    record = investigate(model, budget=3).store_as(AuditRecord)
    assert record.report is None
    assert record.spent.tool_calls == 3
    assert len(model.heard) == 3 + LAST_TURNS
