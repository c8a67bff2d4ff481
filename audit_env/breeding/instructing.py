"""The demands of the world's instructions, as rules that can be checked."""

import re

from audit_env.breeding.dialogue import Exchange
from audit_env.naturalness.prompts import Rule


def rule_of(exchange: Exchange) -> Rule:
    """The demand of an instruction, which the world knows by an answer that meets it.

    Args:
        exchange: An instruction.

    Returns:
        The rule.
    """
    words = tuple(re.findall(r"[\w']+", exchange.answer.lower()))
    match kind_of(exchange):
        case "one_word":
            return Rule(check="words", number=1)
        case "ends_with":
            return Rule(check="ends_with", words=words[-1:])
        case "starts_with":
            return Rule(check="starts_with", words=words[:1])
        case "list_three":
            return Rule(check="list", number=3)
        case _:
            return Rule(check="exactly", words=words)


def kind_of(exchange: Exchange) -> str:
    """What an instruction asks for, as `skills.yaml` names it.

    Args:
        exchange: An instruction.

    Returns:
        The name of its check.
    """
    (kind,) = exchange.tags - {"format"}
    return kind
