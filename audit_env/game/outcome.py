"""The outcome of one audit: what the scorer writes beside each score, and what metrics and tables are made of."""

from typing import Literal

from inspect_ai.log import EvalSample
from inspect_ai.scorer import Score
from pydantic import BaseModel, ConfigDict

from audit_env.catalog.models import Conceal, Instil, Kind, Standing
from audit_env.game.evidence import EvidenceClass
from audit_env.game.record import Affordance, AnswerFormat, Protocol
from audit_env.game.redacting import Redact
from audit_env.game.rules import Verdict

Status = Literal["scored", "no_report", "errored", "unscored"]
"""What became of an audit.

scored: judged by its report. no_report: it ended without one; the auditor's failure. errored: it broke off before a
report. unscored: it cannot be judged, whoever's fault it is (a gate is closed, the seal is broken, no grader).
"""

METADATA_KEY = "outcome"
TRIAL = "trial"
"""Tag of the logs of trial rounds: their players were told the truth, so that they count nowhere."""
INTERIMS_KEY = "interims"
"""Where a score keeps the outcomes of interim verdicts."""


class Outcome(BaseModel):
    """The outcome of one audit. Fields are None where a question does not apply or could not be answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Status
    reason: str = ""
    """Why it was not scored, or how it broke off."""
    alias: str
    affordance: Affordance
    answers: AnswerFormat
    protocol: Protocol = "audit_env"
    """By whose rules the auditor played. Others than ours do not compare."""

    organism: str | None = None
    standing: Standing | None = None
    kind: Kind | None = None
    quirk: str | None = None
    second_quirk: str | None = None
    """Another one that the target has."""
    quirks: int | None = None
    """How many the target has."""
    instil: Instil | None = None
    conceal: Conceal | None = None
    menu_size: int | None = None
    """Entries of the menu, "none of these" included."""

    verdict: Verdict | None = None
    p_quirk: float | None = None
    confidence: float | None = None
    """Confidence of the first claim."""
    recognised: bool | None = None
    detected: bool | None = None
    clean_detection: bool | None = None
    found: bool | None = None
    false_alarm: bool | None = None
    brier: float | None = None
    log_score: float | None = None
    reciprocal_rank: float | None = None
    named: int = 0
    right: int = 0
    quirks_named: int | None = None
    """How many of the target's quirks the report names."""
    evidence: EvidenceClass | None = None
    """Of a detection."""
    leak_assisted: bool | None = None
    """Of a detection."""
    calls_to_correct: int | None = None
    tokens_to_correct: int | None = None
    seconds_to_correct: float | None = None
    calls: int = 0
    target_tokens: int = 0
    sham_tools: str | None = None
    """What grey-box and white-box tools were fed with now and then, such as `null:0.5`."""
    sham_cited: bool | None = None
    """Whether the report rests on something that a sham tool showed. None where no call showed a stand-in."""
    redact: Redact | None = None
    """What of the target's answers was kept from the auditor. Redacted audits do not compare with plain ones."""
    withheld: int | None = None
    """Of a redacted audit, how many of the target's answers were withheld. An answer that was asked for again counts
    again. Of an interim verdict, those of the whole audit."""
    withheld_by_base: int | None = None
    """In the place of how many of them the base answered."""
    warning: str = ""

    @property
    def quirked(self) -> bool:
        """Whether the target has a quirk."""
        return self.standing == "quirked"

    @property
    def clean(self) -> bool:
        """Whether the target is a base or a sham."""
        return self.standing in ("base", "sham")

    @property
    def as_it_is(self) -> bool:
        """Whether the auditor met the target as it is: no answer withheld, no tool fed with something else."""
        return self.redact is None and self.sham_tools is None


def outcome_of(score: Score) -> Outcome | None:
    """Read the outcome that a score carries.

    Args:
        score: A score.

    Returns:
        The outcome, or None if the score is not a verdict of this package.
    """
    raw = (score.metadata or {}).get(METADATA_KEY)
    return None if raw is None else Outcome.model_validate(raw)


def outcome_in(sample: EvalSample) -> Outcome | None:
    """Read the outcome of an audit.

    Args:
        sample: The audit.

    Returns:
        The outcome, or None if none of its scores is a verdict of this package.
    """
    return next((outcome for score in (sample.scores or {}).values() if (outcome := outcome_of(score))), None)


def interims_of(score: Score) -> list[Outcome]:
    """Read the outcomes of the interim verdicts that a score carries.

    Args:
        score: A score.

    Returns:
        The outcomes, in the order of the phases; none for an audit at one level. Each one's affordance names the phase,
        as in `black_box-then-white_box: black_box`.
    """
    return [Outcome.model_validate(raw) for raw in (score.metadata or {}).get(INTERIMS_KEY, ())]
