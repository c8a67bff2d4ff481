"""Audits in phases: an interim verdict closes a level of access and opens the next.

`black_box-then-white_box` begins with the tools of black_box. `interim` hands in a verdict with the fields of a report;
it is sealed, and answered by nothing but the tools and the budget of white_box. Only there can the report be handed in.
An audit whose auditor gives no interim verdict ends where it stands. Every verdict is scored: an interim one by the
audit as it stood then (`as_it_stood`), in a row of its own.

An audit at one level has nothing of this in its store.
"""

from collections.abc import Sequence
from typing import Literal

from inspect_ai.util import Store
from pydantic import Field

from audit_env.catalog.seal import report_hash
from audit_env.errors import ParameterError
from audit_env.game.parameters import each_of, items, one_of
from audit_env.game.record import Affordance, AuditRecord, Budget, Entry, Report, Spent
from audit_env.game.stored import Stored

THEN = "-then-"
"""Joins levels in a name. Letters and hyphens, so that no shell takes it for anything."""

VerdictTool = Literal["interim", "report"]


class Phase(Entry):
    """A level of access, and what may be used at it."""

    affordance: Affordance
    budget: Budget


class Interim(Entry):
    """An interim verdict, and how far the audit was when it came in."""

    report: Report
    sha256: str
    """Its hash, taken when it was handed in."""
    mended: bool
    """Whether it could not be read as it was handed in, so that its valid part was taken."""
    spent: Spent
    seconds: float
    exchanges: int
    """How many answers, readings and lines of the tracker there were."""
    readings: int
    tracker: int


class Phases(Stored):
    """The store of an audit in phases."""

    plan: list[Phase] = Field(default_factory=list)
    interims: list[Interim] = Field(default_factory=list)

    @property
    def place(self) -> int:
        """Which phase is played, from 0."""
        return len(self.interims)

    @property
    def whole(self) -> Affordance:
        """The name of all levels together."""
        return THEN.join(phase.affordance for phase in self.plan)

    def verdict_name(self, place: int) -> Affordance:
        """Under what name the interim verdict of a phase stands in tables.

        Args:
            place: Which phase, from 0.

        Returns:
            For example `black_box-then-white_box: black_box`.
        """
        return f"{self.whole}: {self.plan[place].affordance}"


def levels_in(name: str) -> list[Affordance]:
    """The levels of access that a name stands for.

    Args:
        name: A level, or several joined by `-then-`.

    Returns:
        The levels, in the order in which they are played.
    """
    return name.split(THEN)


def each_access(value: str | Sequence[str], valid: Sequence[Affordance]) -> list[Affordance]:
    """What the parameter `affordance` asks for.

    Args:
        value: Levels, or levels joined by `-then-`: one, a list or with commas.
        valid: The levels there are.

    Returns:
        The names in the order given, each once.

    Raises:
        ParameterError: If there is none, or one names a level that does not exist or that follows itself.
    """
    joined = [name for name in items(value) if THEN in name]
    for name in joined:
        levels = [one_of(level, valid, "affordance") for level in levels_in(name)]
        if any(level == after for level, after in zip(levels, levels[1:], strict=False)):
            raise ParameterError(f"Parameter 'affordance' cannot be '{name}': name different levels for its phases.")
    return each_of(value, (*valid, *joined), "affordance")


def phases_of(record: AuditRecord) -> Phases | None:
    """The phases of an audit that is played or scored.

    Args:
        record: The audit's record, in the sample's own store. (A finished sample gives `store_as(Phases)`.)

    Returns:
        The phases; None where it is played at one level.
    """
    return Phases(store=record.store) if "Phases:plan" in record.store else None


def whole_of(record: AuditRecord) -> Affordance:
    """The name of the level, or of all levels, that an audit is played at.

    Args:
        record: The audit's record.

    Returns:
        The name that the task was given.
    """
    phases = phases_of(record)
    return phases.whole if phases else record.affordance


def lay_out(record: AuditRecord, phases: Sequence[Phase]) -> None:
    """Lay out an audit in phases, whose first the record is set to.

    Args:
        record: The audit's record.
        phases: The phases.
    """
    Phases(store=record.store, plan=list(phases))


def verdict_due(record: AuditRecord) -> VerdictTool:
    """The tool that closes the phase that is played.

    Args:
        record: The audit's record.

    Returns:
        `report` in the last phase, and where there is only one.
    """
    phases = phases_of(record)
    return "interim" if phases and phases.place < len(phases.plan) - 1 else "report"


def verdicts_in(record: AuditRecord) -> int:
    """How many verdicts an audit has had.

    Args:
        record: The audit's record.

    Returns:
        Interim verdicts, and the report.
    """
    phases = phases_of(record)
    return (phases.place if phases else 0) + (record.report is not None)


def spent_before(record: AuditRecord) -> Spent:
    """What was spent before the phase that is played, and lies outside its budget.

    Args:
        record: The audit's record.

    Returns:
        Nothing in the first phase, and where there is only one.
    """
    phases = phases_of(record)
    return phases.interims[-1].spent if phases and phases.interims else Spent()


def close_phase(record: AuditRecord, verdict: Report, *, seconds: float, mended: bool = False) -> Interim:
    """Seal an interim verdict and open the next phase.

    Args:
        record: The audit's record.
        verdict: The verdict.
        seconds: When it came in, since the audit began.
        mended: Whether it is the valid part of what was handed in.

    Returns:
        The verdict as it is kept.

    Raises:
        ParameterError: If the audit has no phase after this one.
    """
    phases = phases_of(record)
    if phases is None or verdict_due(record) == "report":
        raise ParameterError("No phase follows this one: hand in the report.")
    interim = Interim(
        report=verdict,
        sha256=report_hash(verdict.model_dump(mode="json")),
        mended=mended,
        spent=record.spent.model_copy(),
        seconds=seconds,
        exchanges=len(record.exchanges),
        readings=len(record.readings),
        tracker=len(record.tracker),
    )
    phases.interims = [*phases.interims, interim]
    opened, spent = phases.plan[phases.place], record.spent.model_dump()
    record.affordance = opened.affordance
    # Counted from what is spent, so that the numbers of calls run on; what is left over lapses.
    record.budget = Budget.model_validate({name: spent[name] + most for name, most in opened.budget})
    return interim


def as_it_stood(record: AuditRecord, interim: Interim) -> AuditRecord:
    """An audit as it stood when an interim verdict came in, with that as its report.

    Args:
        record: The audit's record.
        interim: One of its interim verdicts.

    Returns:
        A record in a store of its own.
    """
    kept = {name: getattr(record, name) for name in AuditRecord.model_fields if name not in ("store", "instance")}
    spent = interim.spent
    then = {
        "spent": spent,
        "exchanges": record.exchanges[: interim.exchanges],
        "readings": record.readings[: interim.readings],
        "tracker": record.tracker[: interim.tracker],
        "report": interim.report,
        "report_sha256": interim.sha256,
        "report_at": {**spent.model_dump(), "seconds": interim.seconds},
        "report_mended": interim.mended,
    }
    return AuditRecord(store=Store(), **(kept | then))


def refuse_phases(record: AuditRecord, auditor: str) -> None:
    """For auditors that play one level.

    Args:
        record: The audit's record.
        auditor: Who refuses, in a word or two.

    Raises:
        ParameterError: If the audit is in phases.
    """
    if phases := phases_of(record):
        last = phases.plan[-1].affordance
        raise ParameterError(
            f"{auditor} gives no interim verdict and cannot play -T affordance={phases.whole}: name one level, such "
            f"as -T affordance={last}, or have a model or a person audit."
        )
