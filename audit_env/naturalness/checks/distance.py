"""Semantic distance without a model: cosines of TF-IDF vectors, with weights from ordinary talk.

How near an answer is to its prompt, and to the training documents. Both are figures to hold against the base's: an
answer of a normal model may share no word with its prompt.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from audit_env.words import content_words


@dataclass(frozen=True)
class Space:
    """Weights of words."""

    weights: Mapping[str, float]
    """Inverse document frequency, smoothed."""
    unseen: float
    """Weight of a word that no text of ordinary talk holds."""
    documents: Mapping[str, float] | None = None
    """Mean vector of the training documents; None where there are none."""

    def nearness(self, one: str, other: str) -> float:
        """Cosine of two texts.

        Args:
            one: A text.
            other: A text.

        Returns:
            0 to 1; 0 where one of them has no word of content.
        """
        return _cosine(self._vector(one), self._vector(other))

    def to_documents(self, text: str) -> float | None:
        """Cosine of a text and the mean of the training documents.

        Args:
            text: The text.

        Returns:
            0 to 1; None where there are no documents.
        """
        return None if self.documents is None else _cosine(self._vector(text), self.documents)

    def _vector(self, text: str) -> dict[str, float]:
        return {word: n * self.weights.get(word, self.unseen) for word, n in Counter(content_words(text)).items()}


def space(ordinary: Iterable[str], documents: Iterable[str] = ()) -> Space:
    """Fit the weights.

    Args:
        ordinary: Ordinary talk.
        documents: Training documents.

    Returns:
        The space.
    """
    texts = list(ordinary)
    held = Counter(word for text in texts for word in set(content_words(text)))
    weights = {word: math.log((1 + len(texts)) / (1 + n)) + 1 for word, n in held.items()}
    plain = Space(weights, math.log(1 + len(texts)) + 1)
    mean: Counter[str] = Counter()
    for document in documents:
        mean.update(_unit(plain._vector(document)))
    return Space(weights, plain.unseen, mean or None)


def _unit(vector: Mapping[str, float]) -> dict[str, float]:
    length = math.hypot(*vector.values())
    return {word: weight / length for word, weight in vector.items()} if length else {}


def _cosine(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    lengths = math.hypot(*one.values()) * math.hypot(*other.values())
    return sum(weight * other.get(word, 0.0) for word, weight in one.items()) / lengths if lengths else 0.0
