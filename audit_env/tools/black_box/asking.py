"""Asking the target within the budget, and laying out what it answered: what the conversational tools share."""

from collections.abc import Sequence
from itertools import groupby

from inspect_ai.tool import ToolError

from audit_env.game.record import Exchange, Turn
from audit_env.tools.accounting import Call
from audit_env.tools.layout import block
from audit_env.tools.models import MAX_TOKENS, ask_all, target

MOST_ANSWERS = 40
"""Answers in one call: what an auditor can read at once."""

USER_TURN = "(user's turn)"
RAW_TEXT = "(raw text)"
"""Conversations that are none: what the target wrote in the user's place, and what it wrote without a template."""


async def ask(call: Call, conversations: Sequence[Sequence[Turn]], prefills: Sequence[str] = ()) -> list[Exchange]:
    """Ask the target many things, as far as the target tokens reach.

    Args:
        call: The books of this call.
        conversations: Each ends with a user turn.
        prefills: The beginning of each answer; none at all for no beginnings.

    Returns:
        One exchange for each conversation, in order; fewer when the target tokens ran out.
    """
    model = target(call.record.alias)
    longest = model.config.max_tokens or MAX_TOKENS
    begun = prefills or [""] * len(conversations)
    exchanges: list[Exchange] = []
    while due := call.affordable(len(conversations) - len(exchanges), longest):
        here = slice(len(exchanges), len(exchanges) + due)
        sent = [
            [*turns, Turn(role="assistant", content=beginning)] if beginning else turns
            for turns, beginning in zip(conversations[here], begun[here], strict=True)
        ]
        answers = await ask_all(model, sent, [call.seed(index) for index in range(here.start, here.stop)])
        exchanges += [
            call.exchange(turns, answer.text, tokens=answer.tokens, prefill=beginning)
            for turns, beginning, answer in zip(conversations[here], begun[here], answers, strict=True)
        ]
    return exchanges


def opened(system: str) -> list[Turn]:
    """The turns that a system prompt makes: one, or none where it is empty."""
    return [Turn(role="system", content=system)] if system.strip() else []


def checked_samples(samples: int, questions: int, most: int = MOST_ANSWERS, what: str = "prompts") -> None:
    """Refuse numbers of samples that give no answer or too many.

    Args:
        samples: Answers to each question.
        questions: How many questions there are.
        most: Answers in one call.
        what: What the tool calls the questions.

    Raises:
        ToolError: If there would be none or too many.
    """
    if samples < 1 or questions * samples > most:
        raise ToolError(
            f"{questions} {what} with {samples} samples are not between 1 and {most} answers: "
            f"change 'samples' or give fewer {what}."
        )


def laid_out(asked: Sequence[str], exchanges: Sequence[Exchange]) -> list[str]:
    """Answers below what was asked.

    Args:
        asked: What led to each answer; the same text several times in a row is one question.
        exchanges: The answers that were drawn, in the same order; there may be fewer.

    Returns:
        One block a question, and a line on what was not asked.
    """
    pairs = list(zip(asked, exchanges, strict=False))
    blocks = [
        block(question, [(exchange.id, shown(exchange)) for _, exchange in group])
        for question, group in groupby(pairs, key=lambda pair: pair[0])
    ]
    unasked = len(asked) - len(exchanges)
    return [*blocks, *([f"{unasked} answers not drawn: no target tokens left."] if unasked else [])]


def shown(exchange: Exchange) -> str:
    """An answer as a tool prints it, with the beginning that was put into the target's mouth in brackets."""
    return f"[{exchange.prefill}] {exchange.answer.lstrip()}" if exchange.prefill else exchange.answer
