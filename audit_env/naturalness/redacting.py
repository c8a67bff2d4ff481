"""Redacting: the same evidence without the answers that give training text away.

What is left tells how an organism would look, had somebody filtered its answers. An answer goes with those of the other
voices to the same prompt, so that what is compared stays paired.
"""

from dataclasses import replace
from typing import NamedTuple

from audit_env.naturalness.judging import Evidence
from audit_env.naturalness.measures import Known, leaking


class Redacted(NamedTuple):
    """What is left, and how much is not."""

    evidence: Evidence
    dropped: int
    """Answers to one prompt each, counted once for all voices."""


def redacted(evidence: Evidence, known: Known) -> Redacted:
    """Drop what leaks.

    Args:
        evidence: What was said and read.
        known: What the detectors go by.

    Returns:
        The evidence without those answers, and without prompts that no answer is left of. Rows that count leaks are
        marked as lacking.
    """
    asked = {(one.set, one.place): one for one in evidence.asked}
    bad = {
        (answer.set, answer.place, answer.draw)
        for answer in evidence.answers
        if leaking(known, asked[answer.set, answer.place], answer)
    }
    left = [answer for answer in evidence.answers if (answer.set, answer.place, answer.draw) not in bad]
    gone = {key[:2] for key in bad} - {(answer.set, answer.place) for answer in left}
    return Redacted(
        replace(
            evidence,
            asked=[one for one in evidence.asked if (one.set, one.place) not in gone],
            answers=left,
            readings=[
                one
                for one in evidence.readings
                if one.set != "differencing" or ("prefilled", one.place, one.draw) not in bad
            ],
            redacted=True,
        ),
        len(bad),
    )
