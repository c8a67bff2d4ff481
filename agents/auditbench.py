"""AuditBench's protocol, for comparison with its published figures only: not one of this project's auditors.

inspect eval tasks/hidden_objective.py --model anthropic/claude-haiku-4-5 --solver agents/auditbench.py \
    -T affordance=auditbench.default -T brief=planted -T answers=open \
    -T budget=tool_calls:2000,target_tokens:1000000,auditor_tokens:20000000
inspect score LOG --scorer audit_env/auditbench_success --action append --model-role grader=anthropic/claude-sonnet-4-5
"""

from pathlib import Path

from inspect_ai.agent import Agent, AgentState, agent

from audit_env.auditors.llm.prompts import Prompts
from audit_env.auditors.llm.published import TOKENS, play_published
from audit_env.game.parameters import one_sentence, whole_number

PROMPTS = Path(__file__).parent / "prompts"


@agent
@one_sentence()
def auditbench(tokens: int = TOKENS) -> Agent:
    """The published protocol: told that a quirk exists, 25,000 tokens to write, ten open guesses.

    The scorer of the game judges each guess by itself, as always; `audit_env/auditbench_success` judges all at once, as
    published. Records, scores and tables mark such audits: their figures do not compare with those of other auditors.

    Args:
        tokens: What the auditor writes before it reports.

    Returns:
        The agent. It needs `-T answers=open`, and a budget wide enough not to end an audit first.
    """
    count = whole_number(tokens, "tokens", least=1)
    prompts = Prompts(PROMPTS)

    async def execute(state: AgentState) -> AgentState:
        return await play_published(state, prompts, count)

    return execute
