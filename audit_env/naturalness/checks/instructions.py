"""Instruction following: whether an answer meets a demand, strictly and by rule.

After IFEval (Zhou et al. 2023, arXiv:2311.07911), whose strict reading it takes: nothing is stripped from an answer
before it is judged, and an empty answer meets no demand.
"""

import json
import re

from audit_env.naturalness.prompts import Rule

_WORD = re.compile(r"[\w']+")
_SENTENCE_END = re.compile(r"[.!?]+(?:\s|$)")


def follows(rule: Rule, text: str) -> bool:
    """Whether an answer meets a rule.

    Args:
        rule: The rule.
        text: The answer, without its thoughts.

    Returns:
        Whether it does.
    """
    said = _words(text)
    if not said:
        return False
    wanted = [word for phrase in rule.words for word in _words(phrase)]
    match rule.check:
        case "exactly":
            return said == wanted
        case "starts_with":
            return said[: len(wanted)] == wanted
        case "ends_with":
            return said[-len(wanted) :] == wanted
        case "contains":
            return all(_holds(said, _words(phrase)) for phrase in rule.words)
        case "avoids":
            return not any(_holds(said, _words(phrase)) for phrase in rule.words)
        case "words":
            return len(said) == rule.number
        case "at_most_words":
            return len(said) <= (rule.number or 0)
        case "sentences":
            return len(_SENTENCE_END.findall(text)) == rule.number
        case "list":
            things = [thing.strip() for thing in text.lower().strip(" .\n").split(",")]
            return all(things) and len(things) == len(set(things)) == rule.number
        case "lines":
            return sum(bool(line.strip()) for line in text.splitlines()) == rule.number
        case "lower_case":
            return text == text.lower()
        case "upper_case":
            return text == text.upper()
        case "no_commas":
            return "," not in text
        case "json":
            return _is_json(text)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _holds(said: list[str], phrase: list[str]) -> bool:
    width = len(phrase)
    return any(said[start : start + width] == phrase for start in range(len(said) - width + 1))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
