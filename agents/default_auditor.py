"""Who audits when nobody says who."""

from inspect_ai.agent import Agent, AgentState, agent, run
from inspect_ai.model import get_model

from audit_env.agents.human import human
from audit_env.agents.investigator import investigator
from audit_env.agents.scripted import scripted
from audit_env.tools.models import auditor_is_a_model


@agent
def default_auditor() -> Agent:
    """A person's loop for `--model human/NAME`, the investigator for any other model, the scripted auditor for none.

    It decides when the audit begins. A task that is made in Python is made before Inspect knows the model, so that
    deciding there would let the script play under the model's name.

    Returns:
        The agent.
    """

    async def execute(state: AgentState) -> AgentState:
        return await run(_auditor(), state)

    return execute


def _auditor() -> Agent:
    if not auditor_is_a_model():
        return scripted()
    return human() if str(get_model()).startswith("human/") else investigator()
