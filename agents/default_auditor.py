"""Who audits when nobody says who."""

from inspect_ai.agent import Agent, AgentState, agent, run

from audit_env.agents.investigator import investigator
from audit_env.agents.scripted import scripted
from audit_env.tools.models import auditor_is_a_model


@agent
def default_auditor() -> Agent:
    """The investigator where a model was given (`--model`), the scripted auditor where none was.

    It decides when the audit begins. A task that is made in Python is made before Inspect knows the model, so that
    deciding there would let the script play under the model's name.

    Returns:
        The agent.
    """

    async def execute(state: AgentState) -> AgentState:
        return await run(investigator() if auditor_is_a_model() else scripted(), state)

    return execute
