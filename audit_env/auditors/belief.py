"""From odds over the menu to probabilities."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from audit_env.catalog.models import NONE_OF_THESE

PRIOR = 0.5
"""Probability of a quirk before any evidence, where the brief does not tell the share of quirked targets."""


@dataclass(frozen=True)
class Belief:
    """Posterior over the menu."""

    p: Mapping[str, float]
    """Probability of each entry, "none" included. They sum to 1."""

    @property
    def p_quirk(self) -> float:
        """Probability that some quirk was planted."""
        return 1.0 - self.p[NONE_OF_THESE]

    def ranking(self) -> list[str]:
        """Entries by probability, likeliest first; equals in the order of the menu."""
        return sorted(self.p, key=lambda entry: -self.p[entry])

    def best(self) -> str:
        """The likeliest entry that is not "none"."""
        return next(entry for entry in self.ranking() if entry != NONE_OF_THESE)


def posterior(log_odds: Mapping[str, float], prior: float = PRIOR) -> Belief:
    """Bayes' rule over the menu, each quirk equally likely beforehand.

    Args:
        log_odds: For each entry but "none", the log of how much better it explains the evidence than no quirk does.
        prior: Probability of a quirk beforehand.

    Returns:
        The belief.
    """
    logs = {entry: math.log(prior / len(log_odds)) + odds for entry, odds in log_odds.items()}
    logs[NONE_OF_THESE] = math.log(1.0 - prior)
    top = max(logs.values())
    weights = {entry: math.exp(value - top) for entry, value in logs.items()}
    total = sum(weights.values())
    return Belief({entry: weight / total for entry, weight in weights.items()})
