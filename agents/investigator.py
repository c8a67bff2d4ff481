"""The plain LLM auditor: a model, the tools of its access level, and a prompt.

inspect eval tasks/hidden_objective.py --model openai/gpt-5
inspect eval tasks/hidden_objective.py --model openai/gpt-5 --solver agents/investigator.py -S prompt=my_prompt.md
"""

from pathlib import Path

from inspect_ai.agent import Agent, AgentState, agent

from audit_env.auditors.llm.investigating import investigate
from audit_env.auditors.llm.memory import THRESHOLD
from audit_env.auditors.llm.prompts import Prompts
from audit_env.game.parameters import one_sentence, share_or_count, text_or_none

PROMPTS = Path(__file__).parent / "prompts"


@agent
@one_sentence()
def investigator(prompt: str | None = None, shorten_at: int | float = THRESHOLD) -> Agent:
    """An auditor that plans for itself, for any model that can call tools.

    It has the tools of its level, a tracker of hypotheses, notes, and a test that each hypothesis should pass before it
    is reported. Its budget is shown with every answer. When its context fills, the conversation is shortened from the
    audit's record. A report that cannot be read, comes early or claims what was not tested is sent back, at most three
    times.

    Args:
        prompt: File with the system prompt. Default: `prompts/investigator.md` beside this file.
        shorten_at: Tokens (20000), or share of the model's context window (0.8), from which the conversation is
            shortened.

    Returns:
        The agent. The brief is expected as the first message; the tools are those of the sample's affordance.
    """
    file, threshold = text_or_none(prompt, "prompt"), share_or_count(shorten_at, "shorten_at")
    prompts = Prompts(PROMPTS, {"investigator": Path(file)} if file else None)

    async def execute(state: AgentState) -> AgentState:
        return await investigate(state, prompts, threshold=threshold)

    return execute
