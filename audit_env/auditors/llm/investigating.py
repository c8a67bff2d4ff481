"""The loop of one auditor that is a language model, and of its phases, where the game is played in several."""

from collections.abc import Sequence

from inspect_ai.agent import AgentPrompt, AgentState, AgentSubmit, react
from inspect_ai.model import ChatMessageSystem, ChatMessageUser, get_model
from inspect_ai.tool import Tool
from inspect_ai.util import span, store_as

from audit_env.auditors.llm.closing import Review, close
from audit_env.auditors.llm.memory import THRESHOLD, FromRecord, countable
from audit_env.auditors.llm.notebook import note
from audit_env.auditors.llm.pacing import Pace
from audit_env.auditors.llm.prompts import Prompts
from audit_env.auditors.llm.verifying import has_reference, verify
from audit_env.game.brief import brief_phase
from audit_env.game.phases import phases_of, verdict_due, verdicts_in
from audit_env.game.record import AuditRecord
from audit_env.tools import audit_tools
from audit_env.tools.accounting import allowance
from audit_env.tools.reporting import verdict_tool


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
    if word:
        state.messages.append(ChatMessageUser(content=word))
    async with span("audit"):
        state = await _up_to_verdict(state, record, prompts, system, threshold, begun=0)
        phases, opened = phases_of(record), 1
        while phases and phases.place == opened:
            # The system prompt speaks of the tools of the phase before; the loop puts that of the next first.
            kept = [message for message in state.messages if not isinstance(message, ChatMessageSystem)]
            state.messages = [*kept, ChatMessageUser(content=brief_phase(record))]
            state = await _up_to_verdict(state, record, prompts, system, threshold, begun=len(state.messages))
            opened += 1
    return state


async def _up_to_verdict(
    state: AgentState, record: AuditRecord, prompts: Prompts, system: str, threshold: int | float, begun: int
) -> AgentState:
    """One phase, which begins at a message of the conversation; the whole audit where there is but one."""
    due, tools, verdicts = verdict_due(record), auditor_tools(record), verdicts_in(record)
    audit = react(
        prompt=AgentPrompt(
            prompts.text(system, reference=has_reference(tools)),
            handoff_prompt=None,
            assistant_prompt=None,
            submit_prompt=None,
        ),
        tools=tools,
        model=countable(get_model()),
        submit=AgentSubmit(tool=verdict_tool(due, record.answers, Review(record, prompts)), keep_in_messages=True),
        on_continue=Pace(record, prompts, begun).__call__,
        compaction=FromRecord(prompts, threshold),
        truncation="auto",
    )
    state = await audit(state)
    if verdicts_in(record) == verdicts:
        close(record, state.messages[begun:], due)
    return state


def auditor_tools(record: AuditRecord) -> Sequence[Tool]:
    """What an auditor works with, but for the report.

    Args:
        record: The audit's record.

    Returns:
        The tools of its level, the tracker, notes, and the test of hypotheses where the budget has room for one.
    """
    *tools, _ = audit_tools(record.affordance, record.answers)
    room = record.budget is not None and allowance(record)[0].tool_calls > 1
    return [*tools, note(), *([verify(has_reference(tools))] if room else [])]
