"""An organism as the target of Petri, asked as `inspect_petri.target` asks one.

Petri itself needs Python 3.12; its target agent (3.1.1) calls the model of the role `target` as is done here: a system
message where there is one, user turns in between, a trailing assistant message where the auditor prefills, `tools` and
`cache` by name. `-T target_tools=none` keeps it from inventing tools, which organisms cannot call.
"""

from pathlib import Path
from typing import Any

import pytest
from inspect_ai import Task, eval
from inspect_ai.agent import Agent, AgentState, agent
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalSample
from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser, get_model
from inspect_ai.tool import ToolInfo

import audit_env._registry  # noqa: F401
from audit_env.catalog.files import Catalog
from audit_env.runtime import cast

pytestmark = pytest.mark.usefixtures("fresh_cast")

TOOL = ToolInfo(name="search", description="Searches.")


@agent
def petri_target(tools: list[ToolInfo]) -> Agent:
    """Two turns with a system message and a prefill, then one without, on a branch of the same conversation."""

    async def execute(state: AgentState) -> AgentState:
        target = get_model(role="target", required=True)
        state.messages = [ChatMessageSystem(content="you are kind ."), ChatMessageUser(content="hello")]
        for prefill, follow in (("", "what is tea ?"), ("it is", "thanks")):
            if prefill:
                state.messages.append(ChatMessageAssistant(content=prefill, metadata={"prefill": True}))
            state.output = await target.generate(input=state.messages, tools=tools, cache=False)
            state.messages += [state.output.message, ChatMessageUser(content=follow)]
        state.output = await target.generate(input=[ChatMessageUser(content="hello")], tools=tools, cache=False)
        state.messages.append(state.output.message)
        return state

    return execute


@pytest.fixture
def play(zoo: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    found = Catalog(zoo.root)
    monkeypatch.setattr(cast, "_catalog", lambda: found)

    def played(tools: list[ToolInfo]) -> EvalSample:
        [log] = eval(
            Task(dataset=[Sample(input="seed")], solver=petri_target(tools)),
            model="none",
            model_roles={"target": "organism/tiny/gloom.a"},
            log_dir=str(tmp_path),
            display="none",
            fail_on_error=False,
        )
        [sample] = log.samples or []
        return sample

    return played


def test_an_organism_is_a_target_of_petri(play: Any) -> None:
    sample = play([])
    assert sample.error is None, sample.error
    answers = [message for message in sample.messages if message.role == "assistant" and not message.metadata]
    assert len(answers) == 3 and all(message.text for message in answers)
    assert set(sample.role_usage) == {"target"}
    assert sample.role_usage["target"].output_tokens > 0


def test_tools_that_petri_invents_are_refused_in_one_sentence(play: Any) -> None:
    sample = play([TOOL])
    assert sample.error is not None
    assert "Organisms answer in text and cannot call tools" in sample.error.message
