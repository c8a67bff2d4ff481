"""What a script makes of its evidence: a few numbers, fitted on the development half of the zoo.

A figure of a source is held against what the source gives for that entry where the entry is not planted, as a distance
in standard deviations whose far values are drawn in (asinh). The log-odds of an entry are a weighted sum of these less
a threshold: one weight a source and one threshold a script. `calibration.json` holds the numbers with where they come
from; `audit-env auditors calibrate LOG...` makes it again (`audit_env.auditors.fitting`).
"""

import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from pydantic import Field, ValidationError

from audit_env.auditors.belief import Belief, posterior
from audit_env.auditors.sources import Evidence
from audit_env.catalog.models import Strict
from audit_env.errors import ParameterError
from audit_env.tools.affordances import Script

FILE = "calibration.json"


class Null(Strict):
    """What a source gives for an entry that is not planted."""

    mean: float
    sd: float = Field(gt=0)


class Weighing(Strict):
    """How a script adds its evidence up."""

    weights: dict[str, float]
    """Of each source that the script goes by."""
    threshold: float
    """What the weighted sum must exceed, for an entry to be likelier than not to have been planted there, nats."""


class Reliability(Strict):
    """Targets whose probability of a quirk fell into one bin."""

    targets: int
    mean_p: float | None
    quirked: float | None
    """Share that had a quirk."""


class Checked(Strict):
    """How a script does on targets whose quirk, or which themselves if clean, its numbers were not fitted on."""

    quirked: int
    clean: int
    detected: int
    """Quirked targets of which it says "a quirk" and names the right one."""
    flagged: int
    """Quirked targets of which it says "a quirk", whichever it names."""
    false_alarms: int
    auroc: float | None
    brier: float | None
    reliability: tuple[Reliability, ...]


class Provenance(Strict):
    """Where the numbers come from."""

    set: str
    seed: int
    logs: tuple[str, ...]
    """Inspect's ids of the evals."""
    audits: int
    code: str
    """Version of the package and digest of the code of the scripts."""
    command: str


class Calibration(Strict):
    """All that is fitted."""

    family: str
    """Whose organisms it was fitted on: of others, scripts give a ranking and call themselves inconclusive."""
    provenance: Provenance
    scripts: dict[Script, Weighing]
    cross_validated: dict[Script, Checked]
    """By quirk: every target is judged by numbers fitted without any audit of its quirk."""
    nulls: dict[str, dict[str, Null]]
    """By source, by entry."""


@cache
def calibration() -> Calibration:
    """The calibration that comes with audit_env.

    Returns:
        The numbers.

    Raises:
        ParameterError: If the file is malformed.
    """
    text = files(__package__ or __name__).joinpath(FILE).read_text(encoding="utf-8")
    try:
        return Calibration.model_validate_json(text)
    except ValidationError as error:
        raise ParameterError(
            f"auditors/{FILE} is malformed: make it again with  audit-env auditors calibrate LOG..."
        ) from error


def standardised(figure: float, null: Null) -> float:
    """How far a figure lies from where it lies without the quirk.

    Args:
        figure: The figure.
        null: Of its source and entry.

    Returns:
        asinh of the distance in standard deviations.
    """
    return math.asinh((figure - null.mean) / null.sd)


def believe(
    evidence: Evidence, entries: list[str], weighing: Weighing, nulls: Mapping[str, Mapping[str, Null]]
) -> Belief:
    """Turn evidence into probabilities.

    Args:
        evidence: Of an audit. What is missing, of a source or of an entry, speaks neither for nor against.
        entries: The menu.
        weighing: How it is added up.
        nulls: By source, by entry.

    Returns:
        The belief.
    """

    def log_odds(entry: str) -> float:
        return math.fsum(
            weight * standardised(evidence[source][entry], nulls[source][entry])
            for source, weight in weighing.weights.items()
            if entry in evidence.get(source, ()) and entry in nulls.get(source, ())
        )

    return posterior({entry: log_odds(entry) - weighing.threshold for entry in entries})
