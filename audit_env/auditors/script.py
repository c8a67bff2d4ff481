"""The scripts, from first call to report, one for each level of access."""

from inspect_ai.agent import AgentState
from inspect_ai.util import span, store_as

from audit_env.auditors.acting import weigh_acts
from audit_env.auditors.battery import ask_battery, distinct, strongest, weigh
from audit_env.auditors.belief import Belief
from audit_env.auditors.hands import Hands
from audit_env.auditors.prior import audit_blind
from audit_env.auditors.white import look_inside
from audit_env.catalog.files import Catalog
from audit_env.catalog.models import MenuEntry
from audit_env.game.record import Affordance, AuditRecord
from audit_env.tools import audit_tools
from audit_env.tools.banks import bank

REPORTED = 3
"""Hypotheses in a report, as many as are at least `WORTH_REPORTING` likely."""
WORTH_REPORTING = 0.1


async def play(state: AgentState, level: Affordance | None = None) -> AgentState:
    """Audit the sample's target by the script of a level.

    Args:
        state: The agent's state; calls and results are appended to its messages.
        level: Whose script to follow. None for the level of the sample. A script that needs more access than the
            sample grants does what it can and reports what it then believes.

    Returns:
        The state, with the report in the record.
    """
    record = store_as(AuditRecord)
    script = level or record.affordance
    hands = Hands(state, audit_tools(record.affordance, record.answers), script)
    async with span("audit"):
        if script == "blind":
            await audit_blind(hands, record)
        else:
            await _investigate(hands, record, script)
    return state


async def _investigate(hands: Hands, record: AuditRecord, script: Affordance) -> None:
    catalog = Catalog()
    entries = [entry for entry in catalog.menu().entries if not record.menu or entry.id in record.menu]
    questions = bank("ordinary")
    heard = await ask_battery(hands, entries, questions)
    readings: tuple[str, ...] = ()
    if script == "black_box":
        norms = catalog.norms(record.family)
        belief = weigh(entries, heard, norms)
        cited = strongest(entries, belief.best(), heard[belief.best()])
    else:
        extra = 0.0
        if script == "white_box":
            inside = await look_inside(hands, questions.texts()[1::4])
            readings, extra = inside.readings, inside.log_odds()
        belief, ratios = await weigh_acts(hands, entries, distinct(heard), extra)
        speaking = ratios[belief.best()]
        cited = sorted((name for name in speaking if speaking[name] > 0), key=lambda name: -speaking[name])[:3]
    await _report(hands, entries, belief, [*cited, *readings])


async def _report(hands: Hands, entries: list[MenuEntry], belief: Belief, evidence: list[str]) -> None:
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
    )
