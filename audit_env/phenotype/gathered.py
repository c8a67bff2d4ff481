"""What was gathered of an organism, as it lies in the log, and whether it can still be judged."""

from inspect_ai.scorer import Score
from inspect_ai.util import StoreModel
from pydantic import Field

from audit_env.catalog.models import Quirk
from audit_env.catalog.phenotype import Conditions, Phenotype
from audit_env.phenotype.answering import Answered


class Gathered(StoreModel):
    """The answers of one organism."""

    blank: Phenotype | None = None
    """Who was measured: the sheet without figures."""
    conditions: Conditions | None = None
    answered: list[Answered] = Field(default_factory=list)


def fitting(gathered: Gathered, quirk: Quirk) -> tuple[Phenotype, Conditions] | Score:
    """The blank sheet and the conditions of answers, if their quirk is still what it was when they were gathered.

    Args:
        gathered: What lies in the log.
        quirk: The quirk as it is now.

    Returns:
        The two, or the score of a sample that cannot be judged.
    """
    blank, under = gathered.blank, gathered.conditions
    if blank is None or under is None or blank.quirk_sha256 != quirk.measured_with():
        return unscored(f"The answers were gathered with other patterns or scenarios than '{quirk.id}' has now.")
    return blank, under


def unscored(why: str) -> Score:
    """The score of a sample that cannot be judged.

    Args:
        why: The reason, for people.

    Returns:
        The score.
    """
    return Score(value="unscored", explanation=why, reason="scoring_failed")
