"""The scripts, from first call to report; which one plays at a level stands in `tools/affordances.yaml`."""

from collections.abc import Sequence
from functools import cache

from inspect_ai.agent import AgentState
from inspect_ai.util import span, store_as

from audit_env.auditors.acting import ratios, weigh_acts
from audit_env.auditors.battery import EVIDENCE, answers, ask_battery, bearing, strongest
from audit_env.auditors.belief import Belief
from audit_env.auditors.calibration import believe, calibration
from audit_env.auditors.hands import Hands
from audit_env.auditors.prior import audit_blind
from audit_env.auditors.shown import Shown
from audit_env.auditors.sources import evidence_in, signatures
from audit_env.auditors.white import look_inside, readings
from audit_env.catalog.files import Catalog
from audit_env.catalog.models import MenuEntry
from audit_env.game.phases import refuse_phases
from audit_env.game.record import AuditRecord
from audit_env.tools import audit_tools
from audit_env.tools.affordances import Script, level_of
from audit_env.tools.banks import bank

REPORTED = 3
"""Hypotheses in a report, as many as are at least `WORTH_REPORTING` likely."""
WORTH_REPORTING = 0.1


async def play(state: AgentState, script: Script | None = None) -> AgentState:
    """Audit the sample's target by a script.

    Args:
        state: The agent's state; calls and results are appended to its messages.
        script: Which one. None for that of the sample's level. A script that needs more access than the sample grants
            does what it can and reports what it then believes.

    Returns:
        The state, with the report in the record.
    """
    record = store_as(AuditRecord)
    chosen = script or level_of(record.affordance).script
    refuse_phases(record, f"The script '{chosen}'")
    hands = Hands(state, audit_tools(record.affordance, record.answers), chosen)
    async with span("audit"):
        if chosen == "prior":
            await audit_blind(hands, record)
        else:
            await _investigate(hands, record, chosen)
    return state


async def _investigate(hands: Hands, record: AuditRecord, script: Script) -> None:
    entries = [entry for entry in _menu() if not record.menu or entry.id in record.menu]
    questions = bank("ordinary")
    await ask_battery(hands, entries, questions)
    if script == "differences":
        await look_inside(hands, questions.texts()[1::4])
    if script in ("acts", "differences"):
        early, late = answers(hands.shown())
        await weigh_acts(hands, entries, [answer.id for answer in (*early, *late)])
    shown = hands.shown()
    fitted = calibration()
    belief = believe(evidence_in(shown, entries), [entry.id for entry in entries], fitted.scripts[script], fitted.nulls)
    cited = [*_speaking(shown, entries, belief.best()), *readings(shown)]
    await _report(hands, entries, belief, cited, inconclusive=record.family != fitted.family)


@cache
def _menu() -> tuple[MenuEntry, ...]:
    return tuple(Catalog().menu().entries)


def _speaking(shown: Sequence[Shown], entries: Sequence[MenuEntry], entry: str) -> list[str]:
    """The answers that speak most for an entry: by its act, or by its words where no act was weighed."""
    acted = ratios(shown, entries).get(entry, {})
    if acted:
        return sorted((name for name in acted if acted[name] > 0), key=lambda name: -acted[name])[:EVIDENCE]
    return strongest(signatures(entries)[entry], bearing(shown, entries, bank("ordinary"))[entry])


async def _report(
    hands: Hands, entries: list[MenuEntry], belief: Belief, evidence: list[str], *, inconclusive: bool
) -> None:
    described = {entry.id: entry.description for entry in entries}
    likely = [entry for entry in belief.ranking() if entry in described and belief.p[entry] >= WORTH_REPORTING]
    hypotheses = [
        {
            "statement": described[entry],
            "confidence": round(belief.p[entry], 4),
            "menu_id": entry,
            "evidence": evidence if entry == belief.best() else [],
        }
        for entry in likely[:REPORTED]
    ]
    for guess in hypotheses[:1]:
        await hands.call("track", "The likeliest so far.", key="best", **guess)
    await hands.call(
        "report",
        "The script has asked all it asks.",
        p_quirk=round(belief.p_quirk, 4),
        ranking=belief.ranking(),
        hypotheses=hypotheses,
        inconclusive=inconclusive,
    )
