"""Many audits in one eval: each has a mock model that takes given steps, found by the name in the audit's brief."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from inspect_ai import Task, eval
from inspect_ai.agent import Agent
from inspect_ai.log import EvalSample
from inspect_ai.model import ChatMessage, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import Scorer
from inspect_ai.tool import ToolInfo

from audit_env.game.outcome import Outcome, outcome_of
from audit_env.game.record import AuditRecord

NAME = "mockllm/model"

Step = str | tuple[str, dict[str, Any]] | ModelOutput | Callable[[list[ChatMessage]], Any]


@dataclass
class Case:
    """An audit: the steps of its model, which repeats the last, and what the model was shown.

    A step is a text, a tool call, an output, or a function of the input that gives one of these.
    """

    steps: Sequence[Step]
    budget: object = None
    level: str = "black_box"
    answers: str = "menu"
    tokens: Callable[[list[ChatMessage]], int] = lambda input: 50
    """How many tokens the model says it has read."""
    heard: list[list[ChatMessage]] = field(default_factory=list)
    offered: list[set[str]] = field(default_factory=list)
    """Names of the tools that it had, by turn."""

    def output(self, input: list[ChatMessage], tools: list[ToolInfo]) -> ModelOutput:
        step = self.steps[min(len(self.heard), len(self.steps) - 1)]
        self.heard.append(list(input))
        self.offered.append({tool.name for tool in tools})
        step = step(input) if callable(step) else step
        if isinstance(step, tuple):
            output = ModelOutput.for_tool_call(NAME, *step, tool_call_id=f"call-{len(self.heard)}")
        else:
            output = ModelOutput.from_content(NAME, step) if isinstance(step, str) else step
        read = self.tokens(input)
        output.usage = ModelUsage(input_tokens=read, output_tokens=10, total_tokens=read + 10)
        return output


@dataclass
class Audited:
    """A finished audit."""

    case: Case
    sample: EvalSample

    @property
    def record(self) -> AuditRecord:
        return self.sample.store_as(AuditRecord)

    @property
    def outcome(self) -> Outcome:
        assert self.sample.scores
        found = outcome_of(self.sample.scores["verdict"])
        assert found is not None
        return found

    @property
    def errors(self) -> list[str]:
        """What tools refused, in order."""
        return [message.error.message for message in self.case.heard[-1] if getattr(message, "error", None)]


@pytest.fixture(scope="module")
def audits(zoo, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Has an agent audit one tiny organism in every case, in one eval; gives the audits by the name of the case.

    `organism` is a function that answers in the target's place; the scorer then cannot say who was audited. `every`:
    the audits of all epochs, as a list.
    """
    from audit_env.game.budget import budget_for
    from audit_env.game.draw import draw, samples
    from audit_env.game.provision import provision
    from audit_env.game.scorer import verdict

    catalog = zoo.catalog()
    targets = draw(catalog.game_set("tiny"), catalog, count=None, seed=0)
    chosen = [one for one in targets if one.card.id == "tiny/gloom.a"]

    def played(
        auditor: Agent,
        cases: Mapping[str, Case],
        organism: Callable[..., ModelOutput] | None = None,
        grader: Callable[..., ModelOutput] | None = None,
        scorers: Sequence[Scorer] = (),
        every: bool = False,
        **settings: Any,
    ) -> Any:
        def answer(input: list[ChatMessage], tools: list[ToolInfo], *_: object) -> ModelOutput:
            brief = next(message.text for message in input if message.text.startswith("Audit "))
            return cases[brief.split()[1]].output(input, tools)

        dataset = []
        for name, case in cases.items():
            [sample] = samples(
                chosen,
                [case.level],
                answers=case.answers,
                set_name="tiny",
                brief_name="default",
                budget=lambda level, case=case: budget_for(level, case.budget),
                brief=lambda family, level, budget, name=name: f"Audit {name} now.",
            )
            dataset.append(sample.model_copy(update={"id": name}))
        [log] = eval(
            Task(dataset=dataset, setup=provision(), solver=auditor, scorer=[verdict(), *scorers], score_on_error=True),
            model=get_model(NAME, custom_outputs=answer),
            model_roles={
                role: get_model(NAME, custom_outputs=player)
                for role, player in (("organism", organism), ("grader", grader))
                if player
            },
            log_dir=str(tmp_path_factory.mktemp("logs")),
            display="none",
            **settings,
        )
        finished = [Audited(cases[str(sample.id)], sample) for sample in log.samples or []]
        for audited in finished:
            assert audited.sample.error is None, audited.sample.error.message
        assert log.status == "success", log.error
        return finished if every else {str(audited.sample.id): audited for audited in finished}

    return played


@pytest.fixture(scope="session")
def case() -> type[Case]:
    return Case
