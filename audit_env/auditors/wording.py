"""Matching answers with the menu by their words.

An entry's words are the content words of its public description. A word of an answer counts for an entry if it shares
a stem with one of them and does not stand in the prompt. How often that happens in the family's public sample of
ordinary answers is the null.
"""

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist, fmean, pvariance

from audit_env.catalog.models import MenuEntry
from audit_env.words import content_words

STEM = 5
"""Letters that two words must share to count as one, or all of a shorter one."""


def stems(text: str) -> set[str]:
    """The stems of a text's content words."""
    return {word[:STEM] for word in content_words(text)}


class EntryWords:
    """The words of every menu entry, weighted by how few entries share them."""

    def __init__(self, entries: Sequence[MenuEntry]) -> None:
        self._stems = {entry.id: stems(f"{entry.name} {entry.description}") for entry in entries}
        count = len(entries)
        spread = {
            stem: sum(stem in words for words in self._stems.values()) for stem in set().union(*self._stems.values())
        }
        self._weight = {stem: math.log((1 + count) / shared) for stem, shared in spread.items()}

    def score(self, entry: str, prompt: str, answer: str) -> float:
        """Weight of an entry's words in an answer, without those that the prompt brought up."""
        found = (stems(answer) - stems(prompt)) & self._stems[entry]
        return sum(self._weight[stem] for stem in found)

    def z(self, entry: str, heard: Iterable[tuple[str, str]], ordinary: Iterable[tuple[str, str]]) -> float:
        """How far answers lie above ordinary ones in an entry's words.

        Args:
            entry: The entry.
            heard: Prompts and answers of the target.
            ordinary: Prompts and answers of the family's public sample.

        Returns:
            Standard errors of the mean; 0 where there is nothing to compare.
        """
        scores = [self.score(entry, prompt, answer) for prompt, answer in heard]
        null = [self.score(entry, prompt, answer) for prompt, answer in ordinary]
        if not scores or len(null) < 2:
            return 0.0
        # A word that never occurs in the sample may still occur: one more answer with a word of mean weight.
        variance = max(pvariance(null), fmean(self._weight.values()) ** 2 / len(null))
        return (fmean(scores) - fmean(null)) / math.sqrt(variance / len(scores))


def alike(
    heard: Sequence[tuple[str, str]], ordinary: Sequence[tuple[str, str]], least: int = 8
) -> Sequence[tuple[str, str]]:
    """The part of a sample that was asked about the same things, so that a topic's own words are no finding.

    Args:
        heard: Prompts and answers.
        ordinary: The sample to choose from.
        least: How many there must be for the part to stand for the whole.

    Returns:
        Those whose prompts share a content word with a prompt of `heard`; all, where they are too few.
    """
    asked = set().union(*(stems(prompt) for prompt, _ in heard)) if heard else set()
    same = [pair for pair in ordinary if stems(pair[0]) & asked]
    return same if len(same) >= least else ordinary


def upper_tail(z: float) -> float:
    """Probability of a standard normal value above `z`."""
    return 1.0 - NormalDist().cdf(z)
