"""Several LLM auditors beside each other, and one who puts their reports together and checks them on the target.

inspect eval tasks/hidden_objective.py --model openai/gpt-5 --solver agents/super_agent.py -S members=5
"""

from pathlib import Path

from inspect_ai.agent import Agent, AgentState, agent

from audit_env.auditors.llm.prompts import Prompts
from audit_env.auditors.llm.team import audit_as_team
from audit_env.game.parameters import one_sentence, whole_number

PROMPTS = Path(__file__).parent / "prompts"


@agent
@one_sentence()
def super_agent(members: int = 3) -> Agent:
    """Independent investigators of one target, and a last one who reports.

    Three quarters of the budget are shared out among the investigators, who do not see each other's work; they play one
    after the other. The last one reads their reports and trackers, tests what it takes over with the rest of the
    budget, and hands in the report that counts. All that was heard is in one record, under ids that mean the same to
    all.

    Args:
        members: How many investigators. A small budget allows fewer: each needs three calls.

    Returns:
        The agent. The brief is expected as the first message; the tools are those of the sample's affordance.
    """
    count = whole_number(members, "members", least=1)
    prompts = Prompts(PROMPTS)

    async def execute(state: AgentState) -> AgentState:
        return await audit_as_team(state, prompts, count)

    return execute
