"""BM25: which of many texts a few words are about. No embeddings, nothing to load.

Okapi BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, eq. 3.15), with the
inverse document frequency of Lucene, which is never negative. Of the libraries, rank-bm25 scores every text for every
word and has had no release since 2022, and bm25s would be one more dependency for this page.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

K1, B = 1.2, 0.75

_WORD = re.compile(r"[a-z0-9]+")


class Bm25:
    """An index of texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        """Index texts.

        Args:
            texts: What can be found.
        """
        places: defaultdict[str, list[int]] = defaultdict(list)
        counts: defaultdict[str, list[int]] = defaultdict(list)
        lengths = np.zeros(len(texts))
        for place, text in enumerate(texts):
            words = terms(text)
            lengths[place] = len(words)
            for word, count in Counter(words).items():
                places[word].append(place)
                counts[word].append(count)
        self._postings = {word: (np.array(places[word]), np.array(counts[word])) for word in places}
        self._norm = K1 * (1 - B + B * lengths / max(1.0, float(lengths.mean()) if len(texts) else 1.0))

    def ranked(self, query: str) -> list[tuple[int, float]]:
        """The texts that hold a word of the query, best first.

        Args:
            query: Words; their order makes no difference.

        Returns:
            Pairs of place and score; equals stay in the order of the texts.
        """
        scores = np.zeros(len(self._norm))
        for word in dict.fromkeys(terms(query)):
            if word in self._postings:
                places, counts = self._postings[word]
                idf = math.log(1 + (len(scores) - len(places) + 0.5) / (len(places) + 0.5))
                scores[places] += idf * counts * (K1 + 1) / (counts + self._norm[places])
        order = np.argsort(-scores.round(9), kind="stable")
        return [(int(place), float(scores[place])) for place in order if scores[place] > 0]

    def count(self, word: str) -> int:
        """In how many texts a word stands."""
        places, _ = self._postings.get(word, ((), ()))
        return len(places)


def terms(text: str) -> list[str]:
    """The words of a text as the index knows them: lower-case letters and digits."""
    return _WORD.findall(text.lower())
