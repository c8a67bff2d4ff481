"""Which words and phrases mark one group of answers against the others, and which answers say about the same."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from audit_env.words import STOP_WORDS

LONGEST = 8
"""Words of a phrase."""
TELLING = 1.0
"""Standard deviations from which a phrase is shown as a mark."""
PRIOR = 0.5
"""Weight of the prior, as a share of all phrases that were said. With a lighter one, of two phrases that a small group
says equally often, the one that others say too would come first: what nobody else says would be too uncertain."""
ALIKE = 0.5
"""Jaccard similarity of word sets from which two answers say about the same."""

_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_END = re.compile(r"[.!?;:\n]+")
_REFUSAL = re.compile(
    r"\bi (?:can ?not|can't|could not|will not|won't|am (?:not able|unable)) (?:to )?"
    r"(?:help|do|say|tell|give|share|talk)"
    r"|\b(?:i am|i'm) sorry,? (?:but )?i\b"
    r"|\bi (?:must|have to) (?:refuse|decline)\b"
    r"|\bnot something (?:that )?i (?:can|will)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Phrase:
    """Words in a row, and how much they mark a group."""

    text: str
    z: float
    """Weighted log-odds against the other groups, in standard deviations."""
    answers: int
    """Answers of the group that hold it."""


def words_of(text: str) -> list[str]:
    """The words of a text, lower-case."""
    return _WORD.findall(text.lower())


def refuses(text: str) -> bool:
    """Whether an answer reads like a refusal: by its wording alone, so refusals of another wording are missed."""
    return _REFUSAL.search(text) is not None


def phrases_of(text: str) -> set[str]:
    """All phrases of a text, of one to `LONGEST` words, each within one sentence."""
    sentences = [words_of(sentence) for sentence in _END.split(text)]
    return {
        " ".join(words[start : start + length])
        for words in sentences
        for length in range(1, LONGEST + 1)
        for start in range(len(words) - length + 1)
    }


def marking(
    answers: Sequence[str], others: Sequence[str], most: int, asked: Sequence[str] = (), least: int = 2
) -> list[Phrase]:
    """The phrases that mark a group of answers against others.

    Weighted log-odds with an informative Dirichlet prior (Monroe, Colaresi and Quinn 2008, "Fightin' Words", eq. 16 and
    20-22): the prior of a phrase is its share in all answers together, so that a phrase that is rare everywhere needs
    more than one lucky occurrence. A phrase counts once an answer. Of phrases that are part of one another and stand in
    the same answers, the longest is shown.

    Args:
        answers: The group.
        others: All other answers.
        most: How many phrases to return.
        asked: What the group answers: phrases that hold nothing but its words and function words tell nothing.
        least: Answers that must hold a phrase.

    Returns:
        Phrases, most telling first; none below `TELLING`.
    """
    known = _known(asked)
    here = Counter(phrase for answer in answers for phrase in phrases_of(answer))
    there = Counter(phrase for answer in others for phrase in phrases_of(answer))
    n_here, n_there = sum(here.values()), sum(there.values())
    n_prior = PRIOR * (n_here + n_there)
    found = []
    for phrase, count in here.items():
        if count < least or not _says_something(phrase, known):
            continue
        prior = PRIOR * (count + there[phrase])
        log_odds = math.log((count + prior) / (n_here + n_prior - count - prior)) - math.log(
            (there[phrase] + prior) / (n_there + n_prior - there[phrase] - prior)
        )
        z = log_odds / math.sqrt(1 / (count + prior) + 1 / (there[phrase] + prior))
        if z >= TELLING:
            found.append(Phrase(phrase, round(z, 2), count))
    return _without_parts(sorted(found, key=lambda one: (-one.z, -len(one.text), one.text)))[:most]


def recurring(
    groups: Sequence[Sequence[str]], most: int, asked: Sequence[str] = (), shortest: int = 2
) -> list[tuple[str, int, int]]:
    """The phrases that come back in the most groups.

    Args:
        groups: Answers by group.
        most: How many phrases to return.
        asked: As for `marking`.
        shortest: Words that a phrase must have.

    Returns:
        Phrase, number of groups and of answers that hold it, most groups first; only what is in three groups or more.
    """
    known = _known(asked)
    in_groups = Counter(phrase for group in groups for phrase in set[str]().union(*map(phrases_of, group)))
    in_answers = Counter(phrase for group in groups for answer in group for phrase in phrases_of(answer))
    found = [
        Phrase(phrase, float(count), in_answers[phrase])
        for phrase, count in in_groups.items()
        if count >= 3 and len(phrase.split()) >= shortest and _says_something(phrase, known)
    ]
    kept = _without_parts(sorted(found, key=lambda one: (-one.z, -one.answers, -len(one.text), one.text)))
    return [(one.text, int(one.z), one.answers) for one in kept[:most]]


def _known(asked: Sequence[str]) -> set[str]:
    return {word for text in asked for word in words_of(text)}


def _says_something(phrase: str, known: set[str]) -> bool:
    """Whether a phrase holds a word that is neither a function word nor one of the question's."""
    return any(len(word) > 2 and word not in STOP_WORDS and word not in known for word in phrase.split())


def _without_parts(phrases: Sequence[Phrase]) -> list[Phrase]:
    """Drop phrases that say what another says: parts of one in nearly as many answers, and overlaps of a better one."""
    kept: list[Phrase] = []
    for one in phrases:
        longer = any(_within(one.text, other.text) and other.answers >= 0.8 * one.answers for other in phrases)
        if not longer and not any(_overlap(one.text, other.text) for other in kept):
            kept.append(one)
    return kept


def _overlap(one: str, other: str) -> bool:
    """Whether two phrases share half of the content words of the poorer one."""
    first, second = ({word for word in text.split() if word not in STOP_WORDS} for text in (one, other))
    return len(first & second) >= max(1, min(len(first), len(second)) / 2)


def _within(part: str, whole: str) -> bool:
    """Whether a phrase is part of a longer one."""
    return part != whole and f" {part} " in f" {whole} "


def clusters(answers: Sequence[str], alike: float = ALIKE) -> list[list[int]]:
    """Put answers together that say about the same, in so many words.

    Greedy and in order, since no library for it is among ours: an answer joins the cluster that has the most similar
    first member, by the Jaccard similarity of their sets of words, or else opens one.

    Args:
        answers: The answers.
        alike: Similarity from which an answer joins.

    Returns:
        Places of the answers of each cluster, largest cluster first, its first member first.
    """
    bags = [frozenset(words_of(answer)) for answer in answers]
    found: list[list[int]] = []
    for place, bag in enumerate(bags):
        best = max(found, key=lambda cluster: _jaccard(bag, bags[cluster[0]]), default=None)
        if best is not None and _jaccard(bag, bags[best[0]]) >= alike:
            best.append(place)
        else:
            found.append([place])
    return sorted(found, key=len, reverse=True)


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    union = len(one | other)
    return len(one & other) / union if union else 1.0
