"""A person as the auditor, in the terminal: the same brief, tools, budget and report as a model.

audit-env session play alice
audit-env session play alice -T affordance=white_box -T targets=3 --minutes 45
"""

from inspect_ai.agent import Agent, AgentState, agent


@agent
def human() -> Agent:
    """A person who types (the model `human/NAME`).

    Tools are called by name, with a form for their arguments. Leave at any time: the same command goes on where the
    game was left, and its log then holds the whole game.

    Returns:
        The agent. The brief is expected as the first message; the tools are those of the sample's affordance.
    """

    async def execute(state: AgentState) -> AgentState:
        # Here, since Inspect imports this file whenever it starts, whoever audits.
        from audit_env.sessions.sitting import audit_in_person

        return await audit_in_person(state)

    return execute
