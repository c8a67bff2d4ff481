"""Fingerprint drift: how far a model's arbitrary choices have moved from its base's.

The same few questions without a right answer are put many times. What comes is a distribution for each of them, and
the drift is the Jensen-Shannon divergence from the base's. Two samples of one model diverge, too, the more the fewer
they are: the base held against itself, on as many answers, is the floor.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

from audit_env.naturalness.checks.thinking import spoken

WORDS = 5
"""Words of an answer that count. Whole sentences hardly recur, and then every divergence is 1."""


def fingerprint(text: str) -> str:
    """What an answer chose: its first words, whatever their case and punctuation.

    Args:
        text: The raw text.

    Returns:
        The words, joined by spaces.
    """
    return " ".join(re.findall(r"[\w']+", spoken(text).casefold())[:WORDS])


def divergence(some: Sequence[str], others: Sequence[str]) -> float:
    """Jensen-Shannon divergence of two samples.

    Args:
        some: Fingerprints.
        others: Fingerprints.

    Returns:
        Bits, 0 to 1.
    """
    p, q = Counter(some), Counter(others)
    total = 0.0
    for counts, n in ((p, len(some)), (q, len(others))):
        for word, count in counts.items():
            middle = (p[word] / len(some) + q[word] / len(others)) / 2
            total += count / n / 2 * math.log2(count / n / middle)
    return max(0.0, total)


def entropy(sample: Sequence[str]) -> float:
    """How varied a sample is.

    Args:
        sample: Fingerprints.

    Returns:
        Bits.
    """
    return -sum(count / len(sample) * math.log2(count / len(sample)) for count in Counter(sample).values())
