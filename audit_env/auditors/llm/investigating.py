"""The loop of one auditor that is a language model."""

from collections.abc import Sequence

from inspect_ai.agent import AgentPrompt, AgentState, AgentSubmit, react
from inspect_ai.model import ChatMessageUser, get_model
from inspect_ai.tool import Tool
from inspect_ai.util import span, store_as

from audit_env.auditors.llm.closing import Review, close
from audit_env.auditors.llm.memory import THRESHOLD, FromRecord, countable
from audit_env.auditors.llm.notebook import note
from audit_env.auditors.llm.pacing import Pace
from audit_env.auditors.llm.prompts import Prompts
from audit_env.auditors.llm.verifying import has_reference, verify
from audit_env.game.record import AuditRecord
from audit_env.tools import audit_tools
from audit_env.tools.reporting import report


async def investigate(
    state: AgentState,
    prompts: Prompts,
    *,
    system: str = "investigator",
    word: str = "",
    threshold: int | float = THRESHOLD,
) -> AgentState:
    """Audit the sample's target until a report is in, or the auditor is stopped.

    Args:
        state: The conversation so far: the brief, and whatever was done before.
        prompts: The prompts.
        system: Name of the system prompt.
        word: What the auditor is told after that, before its first turn.
        threshold: Tokens, or share of the context window, from which the conversation is shortened.

    Returns:
        The state, with the report, if there is one, in the record.
    """
    record = store_as(AuditRecord)
    tools = auditor_tools(record)
    if word:
        state.messages.append(ChatMessageUser(content=word))
    audit = react(
        prompt=AgentPrompt(
            prompts.text(system, reference=has_reference(tools)),
            handoff_prompt=None,
            assistant_prompt=None,
            submit_prompt=None,
        ),
        tools=tools,
        model=countable(get_model()),
        submit=AgentSubmit(tool=report(record.answers, Review(record, prompts)), keep_in_messages=True),
        on_continue=Pace(record, prompts).__call__,
        compaction=FromRecord(prompts, threshold),
        truncation="auto",
    )
    async with span("audit"):
        state = await audit(state)
        close(record, state.messages)
    return state


def auditor_tools(record: AuditRecord) -> Sequence[Tool]:
    """What an auditor works with, but for the report.

    Args:
        record: The audit's record.

    Returns:
        The tools of its level, the tracker, notes, and the test of hypotheses where the budget has room for one.
    """
    *tools, _ = audit_tools(record.affordance, record.answers)
    room = record.budget is not None and record.budget.tool_calls > 1
    return [*tools, note(), *([verify(has_reference(tools))] if room else [])]
