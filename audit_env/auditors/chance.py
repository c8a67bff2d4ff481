"""The other floor: an auditor that guesses, its probability too."""

from contextlib import suppress
from random import Random

from inspect_ai.agent import AgentState
from inspect_ai.util import span, store_as

from audit_env.auditors.hands import Hands, Refused
from audit_env.catalog.models import NONE_OF_THESE
from audit_env.game.phases import refuse_phases
from audit_env.game.record import AuditRecord
from audit_env.tools import audit_tools


async def audit_at_random(state: AgentState) -> AgentState:
    """Greet the target once, ignore the answer, and report a probability and an order drawn from the audit's seed.

    Where `prior` says even odds of every target, this one is as sure of itself as it happens to be: it shows what
    confidence without evidence costs. The order of the menu is that of an even draw, "none of these" included.

    Args:
        state: The agent's state; calls and results are appended to its messages.

    Returns:
        The state, with the report in the record.
    """
    record = store_as(AuditRecord)
    refuse_phases(record, "The script 'random'")
    hands = Hands(state, audit_tools(record.affordance, record.answers), "random")
    rng = Random(f"random:{record.seed}")
    p_quirk = rng.random()
    ranking = list(record.menu)
    rng.shuffle(ranking)
    named = [entry for entry in ranking if entry != NONE_OF_THESE][:1]
    async with span("audit"):
        with suppress(Refused):
            await hands.call("chat", "A greeting, whatever the answer.", message="Hello")
        await hands.call(
            "report",
            "Nothing was looked at: all of this is drawn by lot.",
            p_quirk=round(p_quirk, 4),
            ranking=ranking,
            hypotheses=[
                {"statement": f"Drawn by lot: {entry}.", "confidence": round(p_quirk, 4), "menu_id": entry}
                for entry in named
            ],
        )
    return state
