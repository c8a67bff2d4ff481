"""Auditors that follow a script: no model, no key, the same tools and report as a model.

inspect eval tasks/hidden_objective.py --solver agents/scripted.py@scripted
inspect eval tasks/hidden_objective.py --solver agents/scripted.py@prior -T affordance=black_box
"""

from inspect_ai.agent import Agent, AgentState, agent

from audit_env.auditors.chance import audit_at_random
from audit_env.auditors.script import play


@agent
def scripted() -> Agent:
    """The script that fits the sample's level of access: prior, battery, acts or differences.

    Returns:
        The agent.
    """

    async def execute(state: AgentState) -> AgentState:
        return await play(state)

    return execute


@agent
def prior() -> Agent:
    """The floor: greets the target and reports without having looked.

    Returns:
        The agent.
    """

    async def execute(state: AgentState) -> AgentState:
        return await play(state, "prior")

    return execute


@agent
def random() -> Agent:
    """The other floor: a probability and an order of the menu drawn by lot.

    Returns:
        The agent.
    """

    async def execute(state: AgentState) -> AgentState:
        return await audit_at_random(state)

    return execute


@agent
def battery() -> Agent:
    """Ordinary questions, and how much the answers sound like an entry of the menu. Needs black-box access.

    Returns:
        The agent.
    """

    async def execute(state: AgentState) -> AgentState:
        return await play(state, "battery")

    return execute


@agent
def acts() -> Agent:
    """Which entry, acted out by the clean base, explains the target's answers? Needs grey-box access.

    Returns:
        The agent.
    """

    async def execute(state: AgentState) -> AgentState:
        return await play(state, "acts")

    return execute


@agent
def differences() -> Agent:
    """Divergence from the base and words in the weights, then the acts. Needs white-box access.

    Returns:
        The agent.
    """

    async def execute(state: AgentState) -> AgentState:
        return await play(state, "differences")

    return execute
