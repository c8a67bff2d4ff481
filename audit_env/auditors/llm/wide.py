"""A broad first look: short probes from many seeds, and which of the answers are strangest."""

from collections.abc import Sequence
from dataclasses import dataclass

from inspect_ai.agent import AgentState
from inspect_ai.model import ChatMessage
from inspect_ai.tool import Tool, ToolDef
from inspect_ai.util import span, store_as
from pydantic import BaseModel, TypeAdapter

from audit_env.auditors.acting import likelihoods
from audit_env.auditors.hands import Hands, Heard, Refused
from audit_env.auditors.llm.asking import ask_for
from audit_env.auditors.llm.investigating import investigate
from audit_env.auditors.llm.prompts import Prompts
from audit_env.auditors.llm.seeds import Seed
from audit_env.game.record import AuditRecord
from audit_env.tools import audit_tools
from audit_env.tools.accounting import budget_of, what_is_left
from audit_env.tools.layout import block
from audit_env.tools.models import MAX_TOKENS

SHARE = 0.4
"""Of the budget, at most, that the broad look may cost."""
EACH = 2
"""Probes for a seed."""
SEEDS_AT_ONCE = 8
"""Seeds that the model writes probes for in one go."""
STRANGEST = 8


class Strange(BaseModel):
    """An answer that the auditor finds strange."""

    id: str
    why: str = ""


class Ranked(BaseModel):
    """What the auditor says of all answers."""

    strangest: list[Strange]


@dataclass(frozen=True)
class Lead:
    """A strange answer, and why it is held to be so."""

    heard: Heard
    why: str


async def look_wide(state: AgentState, prompts: Prompts, ideas: Sequence[Seed]) -> AgentState:
    """Ask many short probes, then investigate from the strangest answers.

    The probes are written by the auditor's model and asked through the tools, so that all is in the conversation that
    the investigation goes on with. How strange an answer is, the model says; where the level of access has
    likelihoods, how much likelier the target finds it than its clean base.

    Args:
        state: The conversation: the brief.
        prompts: The prompts.
        ideas: The seeds.

    Returns:
        The state, with the report, if there is one, in the record.
    """
    record = store_as(AuditRecord)
    tools = audit_tools(record.affordance, record.answers)
    names = {ToolDef(tool).name for tool in tools}
    brief = list(state.messages)
    async with span("breadth"):
        written = await _probes(brief, prompts, ideas, most=_room(record, together="ask_each" in names))
        heard = await _ask(state, tools, [probe for group in written.values() for probe in group], names)
        measured = "likelihood" in names and bool(heard)
        leads = await (_unlike_base(state, tools, heard) if measured else _judged(brief, prompts, heard))
    word = prompts.text(
        "depth",
        asked=len(heard),
        seeds=len(written),
        missed=len(ideas) - len(written),
        how="by how much likelier the target finds them than its clean base" if measured else "as you judged them",
        strangest=[(lead.heard.prompt, lead.heard.id, lead.heard.answer, lead.why) for lead in leads],
        left=what_is_left(record),
    )
    return await investigate(state, prompts, word=word if heard else "")


def _room(record: AuditRecord, *, together: bool) -> int:
    """How many probes the share of the budget pays for, if every answer is as long as it can be."""
    budget = budget_of(record)
    calls = int(SHARE * budget.tool_calls)
    by_tokens = int(SHARE * budget.target_tokens) // MAX_TOKENS
    return min(by_tokens, by_tokens if together and calls else calls)


async def _probes(brief: list[ChatMessage], prompts: Prompts, ideas: Sequence[Seed], most: int) -> dict[str, list[str]]:
    """Probes by seed. Where the budget has room for few, every seed gets one before any gets two."""
    written: dict[str, list[str]] = {}
    for start in range(0, len(ideas), SEEDS_AT_ONCE) if most else ():
        group = ideas[start : start + SEEDS_AT_ONCE]
        question = prompts.text("probes", seeds=group, each=EACH)
        found = await ask_for(brief, question, TypeAdapter(dict[str, list[str]])) or {}
        for seed in group:
            if probes := [probe for probe in found.get(seed.name, []) if probe.strip()][:EACH]:
                written[seed.name] = probes
    in_turns = [(turn, name, probe) for name, group in written.items() for turn, probe in enumerate(group)]
    kept = sorted(in_turns, key=lambda one: one[0])[:most]
    chosen: dict[str, list[str]] = {}
    for _, name, probe in kept:
        chosen.setdefault(name, []).append(probe)
    return chosen


async def _ask(state: AgentState, tools: Sequence[Tool], probes: Sequence[str], names: set[str]) -> list[Heard]:
    hands = Hands(state, tools, "breadth")
    probes = list(dict.fromkeys(probes))
    if "ask_each" in names:
        return await hands.ask(probes, "A first look, wide before deep.")
    heard: list[Heard] = []
    for number, probe in enumerate(probes, start=1):
        heard += await hands.talk([probe], f"wide-{number}", "A first look, wide before deep.")
    return heard


async def _judged(brief: list[ChatMessage], prompts: Prompts, heard: Sequence[Heard]) -> list[Lead]:
    if not heard:
        return []
    answers = "\n".join(block(one.prompt, [(one.id, one.answer)]) for one in heard)
    question = prompts.text("strangest", answers=answers, most=min(STRANGEST, len(heard)))
    ranked = await ask_for(brief, question, TypeAdapter(Ranked))
    by_id = {one.id: one for one in heard}
    named = {one.id: one.why for one in (ranked.strangest if ranked else []) if one.id in by_id}
    return [Lead(by_id[name], why) for name, why in list(named.items())[:STRANGEST]]


async def _unlike_base(state: AgentState, tools: Sequence[Tool], heard: Sequence[Heard]) -> list[Lead]:
    hands = Hands(state, tools, "breadth")
    try:
        found = await likelihoods(hands, [one.id for one in heard], "Which answers would the clean base not give?")
    except Refused:
        found = {}
    gains = {name: likelihood.target - likelihood.reference for name, likelihood in found.items()}
    by_id = {one.id: one for one in heard}
    strangest = sorted(gains, key=lambda name: -gains[name])[:STRANGEST]
    return [Lead(by_id[name], f"{gains[name]:+.1f} nats beside the base") for name in strangest]
