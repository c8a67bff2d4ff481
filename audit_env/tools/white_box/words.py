"""A vocabulary as a reader sees it: words instead of tokens."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

_SPECIAL = re.compile(r"<[^<>\s]+>|\[[A-Z_]+\]")


class Words:
    """The readable words of a vocabulary.

    Tokens that differ only in case or in a leading space are one word; special tokens, and pieces that are no text, are
    none.

    Attributes:
        words: The words, in the order in which the vocabulary first shows them.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        place: dict[str, int] = {}
        self._word_of = np.full(len(tokens), -1)
        for token, text in enumerate(tokens):
            if _readable(text.strip()):
                self._word_of[token] = place.setdefault(text.strip().lower(), len(place))
        self._kept = self._word_of >= 0
        self.words = tuple(place)

    def total(self, values: Floats) -> Floats:
        """Add up the tokens of each word: for masses.

        Args:
            values: One figure a token, `[vocab]`.

        Returns:
            One figure a word, `[words]`.
        """
        merged = np.zeros(len(self.words))
        np.add.at(merged, self._word_of[self._kept], values[self._kept])
        return merged

    def largest(self, values: Floats) -> Floats:
        """Take the largest of the tokens of each word: for scores.

        Args:
            values: One figure a token, `[..., vocab]`.

        Returns:
            One figure a word, `[..., words]`.
        """
        merged = np.full((len(self.words), *values.shape[:-1]), -np.inf)
        np.maximum.at(merged, self._word_of[self._kept], np.moveaxis(values, -1, 0)[self._kept])
        return np.moveaxis(merged, 0, -1)


def _readable(text: str) -> bool:
    whole = text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text
    return bool(text) and whole and not _SPECIAL.fullmatch(text)
