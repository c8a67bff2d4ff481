"""Matching answers with the menu by their words.

A word of an answer counts for an entry if it shares a stem with one of the entry's words and does not stand in the
prompt. There are two lists of an entry's words: those of its public description, and those by which the family's base
can be told when it acts the entry out (`audit_env.evidence.signatures`, shipped with the family).
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean

from audit_env.catalog.models import MenuEntry
from audit_env.words import content_words

STEM = 5
"""Letters that two words must share to count as one, or all of a shorter one."""

Weights = Mapping[str, float]
"""Weight of each stem."""


def stems(text: str) -> set[str]:
    """The stems of a text's content words."""
    return {word[:STEM] for word in content_words(text)}


def described(entries: Sequence[MenuEntry]) -> dict[str, Weights]:
    """The words of every entry's public description, weighted by how few entries share them.

    Args:
        entries: The menu.

    Returns:
        By entry, weights with a Euclidean length of 1.
    """
    told = {entry.id: stems(f"{entry.name} {entry.description} {entry.instruction}") for entry in entries}
    shared = Counter(stem for own in told.values() for stem in own)
    found: dict[str, Weights] = {}
    for entry, own in told.items():
        weights = {stem: math.log((1 + len(entries)) / shared[stem]) for stem in own}
        length = math.hypot(*weights.values()) or 1.0
        found[entry] = {stem: weight / length for stem, weight in weights.items()}
    return found


def score(weights: Weights, prompt: str, answer: str) -> float:
    """Weight of the words of an answer, without those that the prompt brought up.

    Args:
        weights: Of an entry.
        prompt: What was asked.
        answer: What was answered.

    Returns:
        Their sum.
    """
    return math.fsum(weights.get(stem, 0.0) for stem in stems(answer) - stems(prompt))


def mean_score(weights: Weights, pairs: Sequence[tuple[str, str]]) -> float:
    """The mean score of an answer.

    Args:
        weights: Of an entry.
        pairs: Prompts and answers.

    Returns:
        The mean; 0 without answers.
    """
    return fmean(score(weights, prompt, answer) for prompt, answer in pairs) if pairs else 0.0
