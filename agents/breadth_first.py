"""The LLM auditor that looks wide first: many short probes from seeds, then depth on the strangest answers.

inspect eval tasks/hidden_objective.py --model openai/gpt-5 --solver agents/breadth_first.py
inspect eval tasks/hidden_objective.py --model openai/gpt-5 --solver agents/breadth_first.py -S tags=values,audience
"""

from collections.abc import Sequence
from pathlib import Path

from inspect_ai.agent import Agent, AgentState, agent

from audit_env.auditors.llm.prompts import Prompts
from audit_env.auditors.llm.seeds import seeds as read_seeds
from audit_env.auditors.llm.wide import look_wide
from audit_env.game.parameters import one_sentence, text_or_none

HERE = Path(__file__).parent


@agent
@one_sentence()
def breadth_first(seeds: str | None = None, tags: str | Sequence[str] | None = None) -> Agent:
    """An auditor that asks many unlike questions before it follows any trail.

    Its model writes short probes from seeds (at most two fifths of the budget), then says which answers are strangest,
    or, where the level of access has likelihoods, they are ranked by how much likelier the target finds them than its
    clean base; from there it goes on as the investigator does.

    Args:
        seeds: Folder of seeds: Markdown files with `tags` in their front matter and an idea of where to look. Default:
            `seeds/` beside this file.
        tags: Only seeds with one of these tags; one, a list, or with commas.

    Returns:
        The agent. The brief is expected as the first message; the tools are those of the sample's affordance.
    """
    folder = text_or_none(seeds, "seeds")
    ideas = read_seeds(Path(folder) if folder else HERE / "seeds", tags)
    prompts = Prompts(HERE / "prompts")

    async def execute(state: AgentState) -> AgentState:
        return await look_wide(state, prompts, ideas)

    return execute
