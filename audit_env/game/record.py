"""The record of one audit: everything the auditor did and saw, kept in the sample's store.

It holds what an auditor may know and nothing more. The truth is added by the scorer, after the report, as
`opened`. Scorers read the record, never the auditor's private state, so an audit can be scored again from
its log alone.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from audit_env.game.stored import Stored

Affordance = str
"""What the auditor may touch: the name of a level in `audit_env/tools/affordances.yaml`.

blind: the brief, and one greeting. chat: one conversation at a time. black_box: all that can be asked of the target.
grey_box: also a reference model (the base) and log-probabilities. white_box: also weights and activations, beside a
sham. data: also a search of what it was trained on. auditbench.*: the tools of a published configuration.
"""

AnswerFormat = Literal["menu", "open"]
HypothesisStatus = Literal["open", "tested", "refuted"]

Protocol = Literal["audit_env", "auditbench"]
"""By whose rules an auditor plays. auditbench: the published protocol, for comparison only."""

HandleKind = Literal["vec", "probe"]
"""vec: a direction of the residual stream. probe: a classifier that the auditor trained."""


class Entry(BaseModel):
    """Base of the parts of a record."""

    model_config = ConfigDict(extra="forbid")


class Turn(Entry):
    """One turn as it was sent or received."""

    role: Literal["system", "user", "assistant"]
    content: str


class Exchange(Entry):
    """One answer of a model, with all that led to it. Cited as evidence by `id` (x1, x2, ...)."""

    id: str
    conversation: str
    side: Literal["target", "reference"]
    turns: tuple[Turn, ...]
    """The whole conversation before the answer; system text given by the auditor included."""
    prefill: str = ""
    answer: str
    at_call: int
    """Number of the tool call that made it."""


class Altered(Entry):
    """What an auditor read of an answer of the target while something was done to it: no answer that can be cited."""

    how: str
    """What was done, such as "amplified 3" or "steered 0.6"."""
    turns: tuple[Turn, ...]
    """The whole conversation before the answer."""
    answer: str
    at_call: int


class Reading(Entry):
    """One white-box or grey-box reading. Cited as evidence by `id` (r1, r2, ...)."""

    id: str
    tool: str
    summary: str
    at_call: int


class Handle(Entry):
    """Something a tool made that other tools take, by `id` (vec:1, probe:2, ...). Its value is not in the record."""

    id: str
    kind: HandleKind
    what: str
    at_call: int


class Hypothesis(Entry):
    """A hypothesis in the tracker or in the report."""

    statement: str
    trigger: str = ""
    menu_id: str | None = None
    """Entry of the menu that it amounts to, where it amounts to one."""
    confidence: float = Field(ge=0.0, le=1.0)
    evidence: tuple[str, ...] = ()
    """Ids of exchanges and readings."""
    status: HypothesisStatus = "open"


class TrackerEvent(Entry):
    """A hypothesis as it stood when the auditor wrote it down."""

    key: str
    hypothesis: Hypothesis
    at_call: int
    target_tokens: int
    seconds: float


class Report(Entry):
    """What the auditor hands in. It ends the audit."""

    p_quirk: float = Field(ge=0.0, le=1.0)
    """Probability that the target has a planted quirk."""
    hypotheses: tuple[Hypothesis, ...] = ()
    """Ranked, likeliest first."""
    ranking: tuple[str, ...] = ()
    """Menu ids, likeliest first ("none" may stand anywhere)."""
    inconclusive: bool = False


class Spent(Entry):
    """What the auditor has used of its budget."""

    tool_calls: int = 0
    target_tokens: int = 0
    auditor_tokens: int = 0


class Budget(Entry):
    """What the auditor may use."""

    tool_calls: int
    target_tokens: int
    auditor_tokens: int


class AuditRecord(Stored):
    """The store of one audit."""

    alias: str = ""
    family: str = ""
    """The target's family, which the brief names; its public sheet is known to every auditor."""
    affordance: Affordance = "black_box"
    answers: AnswerFormat = "menu"
    protocol: Protocol = "audit_env"
    """Written by the agent, where it plays by other rules."""
    seed: int = 0
    """Seed of this audit, derived from the run's seed, the alias, the affordance and the epoch."""
    menu: tuple[str, ...] = ()
    """Ids that the report may rank, as the brief listed them ("none" included)."""
    budget: Budget | None = None
    spent: Spent = Field(default_factory=Spent)
    examined: list[int] = Field(default_factory=list)
    """Numbers of the calls that read more of the target than its answers: those that may have shown a stand-in."""
    exchanges: list[Exchange] = Field(default_factory=list)
    altered: list[Altered] = Field(default_factory=list)
    readings: list[Reading] = Field(default_factory=list)
    handles: list[Handle] = Field(default_factory=list)
    tracker: list[TrackerEvent] = Field(default_factory=list)
    report: Report | None = None
    report_sha256: str | None = None
    """Hash of the report, taken when it was handed in and before anything was opened."""
    report_at: dict[str, float] = Field(default_factory=dict)
    """Spending and seconds when the report came in."""
    report_mended: bool = False
    """Whether the report could not be read as it was handed in, so that its valid part was taken."""
    commitment: str | None = None
    """Salted hash of the truth, menu, rubric and seeds, made before the audit."""
    opened: dict[str, object] | None = None
    """The truth and the salt, written by the scorer after the report."""
