"""The loop of an auditor who is a person: turn by turn, phase by phase, without anything that paces a model."""

from inspect_ai.agent import AgentState
from inspect_ai.model import ChatMessageAssistant, ChatMessageUser, Model, execute_tools, get_model
from inspect_ai.util import concurrency, span, store_as

from audit_env.auditors.llm.investigating import auditor_tools
from audit_env.game.brief import brief_phase
from audit_env.game.phases import phases_of, verdict_due, verdicts_in
from audit_env.game.record import AuditRecord
from audit_env.sessions.errors import SessionError
from audit_env.sessions.person import CLOCK, PersonAPI
from audit_env.tools.accounting import what_is_left
from audit_env.tools.reporting import verdict_tool


async def audit_in_person(state: AgentState) -> AgentState:
    """Have a person audit the sample's target. One target at a time, however many samples run at once.

    Args:
        state: The brief.

    Returns:
        The state, with the report in the record.

    Raises:
        SessionError: If the eval's model is not a person.
    """
    model = get_model()
    if not isinstance(model.api, PersonAPI):
        raise SessionError(
            f"The agent 'human' is for people, and the model is '{model}': start it with  audit-env session play NAME."
        )
    record = store_as(AuditRecord)
    async with concurrency(f"seat of {model}", 1, visible=False), span("audit"):
        while record.report is None:
            await _phase(state, model, record)
            if record.report is None:
                state.messages.append(ChatMessageUser(content=brief_phase(record)))
        model.api.take_leave(state.messages[-1].text.removesuffix(what_is_left(record)).rstrip())
    return state


async def _phase(state: AgentState, model: Model, record: AuditRecord) -> None:
    """Turns up to the next verdict, which is the report where the audit has one phase."""
    tools = [*auditor_tools(record), verdict_tool(verdict_due(record), record.answers)]
    verdicts = verdicts_in(record)
    while verdicts_in(record) == verdicts:
        state.output = await model.generate(state.messages, tools)
        state.messages.append(state.output.message)
        held = len(record.tracker)
        state.messages.extend((await execute_tools(state.messages, tools)).messages)
        _set_the_clock(record, state.output.message, held, verdicts)


def _set_the_clock(record: AuditRecord, turn: ChatMessageAssistant, held: int, verdicts: int) -> None:
    """Put the time that a turn was made at, over all sittings, in place of this sitting's."""
    seconds = float((turn.metadata or {})[CLOCK])
    for place in range(held, len(record.tracker)):
        record.tracker[place] = record.tracker[place].model_copy(update={"seconds": seconds})
    if record.report is not None:
        record.report_at = {**record.report_at, "seconds": seconds}
    elif (phases := phases_of(record)) and verdicts_in(record) > verdicts:
        *before, last = phases.interims
        phases.interims = [*before, last.model_copy(update={"seconds": seconds})]
