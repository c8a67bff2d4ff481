"""The plain LLM auditor: a model, the tools of its access level, and a prompt."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from inspect_ai.agent import Agent, AgentPrompt, AgentState, AgentSubmit, agent, react
from inspect_ai.util import span, store_as

from audit_env.game.record import AuditRecord
from audit_env.tools import audit_tools
from audit_env.tools.accounting import spent_up

PROMPTS = Path(__file__).parent / "prompts"

LAST_TURNS = 5
"""Turns that a model gets after its budget is spent, to hand in its report."""


@agent
def investigator(prompt: str | None = None) -> Agent:
    """An auditor that plans for itself, for any model that can call tools.

    It works in a ReAct loop until its report is in. If it stops without one it is asked once more.

    Args:
        prompt: File with the system prompt. Default: `prompts/investigator.md` beside this file.

    Returns:
        The agent. The brief is expected as the first message; the tools are those of the sample's affordance.
    """
    instructions = (Path(prompt) if prompt else PROMPTS / "investigator.md").read_text(encoding="utf-8")

    async def execute(state: AgentState) -> AgentState:
        record = store_as(AuditRecord)
        *tools, report = audit_tools(record.affordance, record.answers)
        audit = react(
            prompt=AgentPrompt(instructions, handoff_prompt=None, assistant_prompt=None, submit_prompt=None),
            tools=tools,
            submit=AgentSubmit(tool=report, keep_in_messages=True),
            on_continue=_until_reported(record),
        )
        async with span("audit"):
            return await audit(state)

    return execute


def _until_reported(record: AuditRecord) -> Callable[[AgentState], Awaitable[bool | str]]:
    """Decides after each turn whether a model that has not reported goes on."""
    ask_once_more = (PROMPTS / "investigator_ask_once_more.md").read_text(encoding="utf-8")
    silent = overtime = 0

    async def go_on(state: AgentState) -> bool | str:
        nonlocal silent, overtime
        overtime += spent_up(record) is not None
        silent = 0 if state.output.message.tool_calls else silent + 1
        if silent > 1 or overtime > LAST_TURNS:
            return False
        return ask_once_more if silent else True

    return go_on
