"""Text that is not the target's own: what the clean base answers to ordinary prompts, the same in every audit."""

from collections.abc import Sequence

from audit_env.game.record import Turn
from audit_env.runtime.subject import Subject
from audit_env.tools.models import MAX_TOKENS

SEED = 0
"""The same for all targets, so that the text of a base is generated once."""


async def neutral_answers(subject: Subject, prompts: Sequence[str]) -> list[str]:
    """What the base answers to prompts.

    Args:
        subject: The handle.
        prompts: What the user says, each in a fresh conversation.

    Returns:
        One answer a prompt.
    """
    asked = [[Turn(role="user", content=prompt)] for prompt in prompts]
    answers = await subject.generate(asked, side="base", max_tokens=MAX_TOKENS, seed=SEED)
    return [answer.text for [answer] in answers]
