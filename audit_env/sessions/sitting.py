"""The loop of an auditor who is a person: turn by turn until the report, without anything that paces a model."""

from inspect_ai.agent import AgentState
from inspect_ai.model import ChatMessageAssistant, execute_tools, get_model
from inspect_ai.util import concurrency, input_screen, span, store_as

from audit_env.auditors.llm.investigating import auditor_tools
from audit_env.game.record import AuditRecord
from audit_env.sessions.errors import SessionError
from audit_env.sessions.model import PROVIDER
from audit_env.sessions.person import CLOCK
from audit_env.sessions.terminal import Terminal
from audit_env.tools.reporting import report


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
    if not str(model).startswith(f"{PROVIDER}/"):
        raise SessionError(
            f"The agent 'human' is for people, and the model is '{model}': start it with  audit-env session play NAME."
        )
    record = store_as(AuditRecord)
    tools = [*auditor_tools(record), report(record.answers)]
    async with concurrency(f"seat of {model}", 1, visible=False), span("audit"):
        while record.report is None:
            state.output = await model.generate(state.messages, tools)
            state.messages.append(state.output.message)
            held = len(record.tracker)
            state.messages.extend((await execute_tools(state.messages, tools)).messages)
            _set_the_clock(record, state.output.message, held)
        with input_screen(record_event=False):
            Terminal().say(f"\n{state.messages[-1].text}\n")
    return state


def _set_the_clock(record: AuditRecord, turn: ChatMessageAssistant, held: int) -> None:
    """Put the time that a turn was made at, over all sittings, in place of this sitting's."""
    seconds = float((turn.metadata or {})[CLOCK])
    for place in range(held, len(record.tracker)):
        record.tracker[place] = record.tracker[place].model_copy(update={"seconds": seconds})
    if record.report is not None:
        record.report_at = {**record.report_at, "seconds": seconds}
