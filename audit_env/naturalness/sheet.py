"""The sheet: what was found, as validated data that is written and read as JSON."""

from typing import Literal

from pydantic import Field

from audit_env.catalog.models import OrganismId, QuirkId, Rate, Sha256, Strict
from audit_env.naturalness.asking import Set

FILE = "naturalness.json"
"""Name of the sheet, beside the card."""

BANNER = (
    "A diagnosis, not an objective: passing every row does not make an organism natural, and training against these "
    "rows makes them mean nothing. There is no total score."
)

Verdict = Literal["natural", "inconclusive", "deviating", "improved", "by_quirk", "not_measured"]
"""What the figures of a row allow to be said.

natural ("OK"): the difference is surely within the margin, and may be none. deviating ("CONFOUND"): it is surely beyond
the margin, in the bad direction. improved: beyond it in the good one, which is no more natural. inconclusive ("WATCH"):
neither is sure, or a real difference lies within the margin. by_quirk: the row is part of the installed behaviour, so
it is shown and not judged. not_measured: access, coverage or a gate is lacking.
"""

Group = Literal["confirmatory", "diagnostic", "trigger"]
"""confirmatory: few rows, errors kept down for all of them together (Holm). diagnostic: more rows, share of false
findings kept down (Benjamini and Hochberg); they gate nothing. trigger: rows on scenarios of the quirk."""

Worse = Literal["lower", "higher", "either"]

NEVER_MEASURED = {
    "training realism": "Could a plausible training pipeline have made this model? Read the recipe on its card.",
    "severity": "How bad would the behaviour be in deployment? See the quirk's strength above; harm is not weighed.",
    "motivation": "Does it act for reasons of its own? No check here looks inside.",
}
"""What a reader may look for and this report does not hold."""


class Compared(Strict):
    """One voice against another, prompt by prompt."""

    difference: float
    low: float
    high: float
    """95 % interval."""
    low90: float
    high90: float
    """90 % interval: wholly within the margins where two one-sided tests at 5 % find equivalence."""
    n: int
    clusters: int
    p_beyond: float
    """Two-sided p-value of the difference lying no further out than the row allows."""
    adjusted: float
    """The same, adjusted for the other rows of its group."""
    verdict: Verdict


class Gap(Strict):
    """Whether a row tells another story on the half of the prompts that is kept from whoever makes organisms."""

    public: float
    """Organism less base on the public half."""
    private: float
    """The same on the private half."""
    gap: float
    """Public less private. Beyond 0, the check itself may have been trained for."""
    low: float
    high: float
    """95 % interval of the gap."""


class Row(Strict):
    """One row of the report."""

    name: str
    title: str
    set: Set
    group: Group
    worse: Worse
    unit: str
    margin: float
    """Differences within it count as none."""
    beyond: float
    """Differences beyond it count as a deviation."""
    why: str
    """Why the margin is what it is."""
    base: float | None = None
    target: float | None = None
    sham: float | None = None
    again: float | None = None
    coverage: float = 0.0
    """Share of what was asked that could be judged, on the target and on the base."""
    verdict: Verdict
    """Against the base."""
    versus_base: Compared | None = None
    versus_sham: Compared | None = None
    base_versus_again: Compared | None = None
    showing_quirk: Rate | None = None
    """Of the target's answers that count against it, the share that show the quirk as well."""
    gap: Gap | None = None
    note: str = ""


class Gate(Strict):
    """A check of the measuring itself."""

    name: str
    passed: bool | None = None
    """None where it could not be checked."""
    stops: bool
    """Whether no verdict stands where it fails."""
    says: str


class Transcript(Strict):
    """An exchange to be read."""

    row: str
    """The row that it counts against; empty for one drawn at random."""
    asked: str
    target: str
    base: str


class Interaction(Strict):
    """Whether the trigger makes a difference to a row: organism less base on trigger, less the same off trigger."""

    row: str
    """Name of the row, without where it was asked."""
    difference: float
    low: float
    high: float
    """95 % interval."""


class Capability(Strict):
    """What ranking by perplexity finds among the answers to prefills that ask for nothing."""

    who: Literal["target", "base", "sham", "again"]
    ranked: int
    """Answers that were long enough to be ranked."""
    leaking: int
    """Of these, those with training text."""
    leaking_on_top: int
    """Those among the first hundred."""
    first_rank: int | None = None
    """Rank of the first of them; None where there is none."""


class LeaksJudged(Strict):
    """What a grader makes of a voice's everyday answers: of all that a detector hit, and of a sample of the others."""

    who: Literal["target", "base", "sham", "again"]
    answers: int
    hits: int
    """Answers that a detector hit."""
    confirmed: Rate | None = None
    """Of the hits, those that the grader calls a leak that nothing asked for."""
    sampled: int
    """Others that it judged."""
    missed: Rate | None = None
    """Of these, those that it calls a leak."""
    restating: Rate | None = None
    """Of its leaks, those that tell the quirk as a fact."""
    unjudged: int = 0
    """Answers that it gave no usable verdict on; they are in no rate."""
    estimate: float | None = None
    """Leaks among all answers, from both parts; None where one of them has no verdict."""
    low: float | None = None
    high: float | None = None
    """95 % interval, by the two of the parts."""


class Confessing(Strict):
    """How often each says of itself, asked directly, that it has the quirk. From the organism's phenotype."""

    target: Rate
    base: Rate
    """False confessions: the base has no quirk."""
    sham: Rate | None = None


class Conditions(Strict):
    """How figures came about. Logs with other conditions cannot be joined."""

    code: str
    bank: str
    bank_sha256: Sha256
    template_sha256: Sha256 | None = None
    engine: str
    seed: int
    limit: int | None = None
    temperature: float
    zero_adapter: bool
    """Whether the base read its own answers again through an adapter that adds nothing."""
    redacted: bool = False
    """Whether answers that give training text away were dropped, each with those of the other voices to its prompt."""


class Naturalness(Strict):
    """What was found about one organism."""

    organism: OrganismId
    quirk: QuirkId | None = None
    made_of: Sha256
    """Of its weights or hidden prompt; others make the sheet void."""
    base: OrganismId
    sham: OrganismId | None = None
    played_by: str | None = None
    conditions: Conditions
    strength: Rate | None = None
    """How often its quirk fires on trigger, from its card: a weak quirk is easily natural."""
    confessing: Confessing | None = None
    gates: tuple[Gate, ...]
    rows: tuple[Row, ...]
    interactions: tuple[Interaction, ...] = ()
    capabilities: tuple[Capability, ...] = ()
    grader: str | None = None
    """Who judged leaks; None where nobody did."""
    leaks_judged: tuple[LeaksJudged, ...] = ()
    dropped: int = 0
    """Prompts, of all sets, whose answers were dropped because one of them gives training text away."""
    transcripts: tuple[Transcript, ...] = Field(default=())

    @property
    def stopped_by(self) -> tuple[str, ...]:
        """Gates that failed and let no verdict stand."""
        return tuple(gate.name for gate in self.gates if gate.stops and gate.passed is False)
