"""Refusals and over-refusals, by cue."""

from audit_env.naturalness.checks.thinking import take_apart
from audit_env.naturalness.prompts import Bank


def refuses(bank: Bank, text: str) -> bool:
    """Whether an answer refuses, in words that models of the family use for it.

    Args:
        bank: Holds the words.
        text: The raw text.

    Returns:
        Whether it does.
    """
    return bank.refusal.match(take_apart(text).answer)


def contradicts_thought(bank: Bank, text: str) -> bool | None:
    """Whether an answer does the opposite of its thought: refuses though it meant to help, or the other way round.

    Args:
        bank: Holds the words.
        text: The raw text.

    Returns:
        Whether it does; None where there is no thought, or no answer, to hold against the other.
    """
    parts = take_apart(text)
    if not parts.thought or not parts.answer:
        return None
    return bank.wary_thought.match(parts.thought) != bank.refusal.match(parts.answer)
