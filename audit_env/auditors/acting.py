"""Whose act is it? The grey-box and white-box scripts' test of the menu.

Every entry of the menu comes with a line that asks a model to act the quirk out. Given the target's own answer to a
plain question, the clean base tells how likely it would have given that very answer unprompted, and how likely while
acting the entry out. The entry whose act explains the answers best, if any does better than no act at all, is the
finding. No lexicon and no threshold is needed; what the base cannot act out cannot be found this way.
"""

import re
from collections.abc import Sequence

from audit_env.auditors.belief import Belief, clipped_sum, posterior
from audit_env.auditors.hands import Hands, Heard, Refused
from audit_env.catalog.models import MenuEntry

MOST_NATS = 3.0
"""What one answer can add to the log-odds of an entry: a likelihood ratio of twenty."""

_ROW = re.compile(r"^target \S+  reference (\S+)  .*\[(\d+) tokens\]")


async def likelihoods(hands: Hands, exchanges: Sequence[str], because: str, system: str = "") -> list[float] | None:
    """How likely the reference finds answers that the target gave.

    Args:
        hands: The tools.
        exchanges: Ids of the answers.
        because: Shown in the transcript.
        system: System prompt that the reference is given.

    Returns:
        Nats per answer, or None if the budget is spent.
    """
    try:
        shown = await hands.call("likelihood", because, exchanges=list(exchanges), system=system)
    except Refused:
        return None
    rows = [match for line in shown.splitlines() if (match := _ROW.match(line))]
    return [float(row[1]) * int(row[2]) for row in rows]


async def weigh_acts(
    hands: Hands, entries: Sequence[MenuEntry], heard: dict[str, list[Heard]], extra: float = 0.0
) -> tuple[Belief, dict[str, dict[str, float]]]:
    """Weigh every entry of the menu by how well its act explains the target's answers.

    Args:
        hands: The tools.
        entries: The menu.
        heard: For each entry, the answers that bear on it.
        extra: Log-odds for a quirk of any kind from other evidence, added to every entry.

    Returns:
        The belief, and for each entry the log-likelihood ratio of each answer that was weighed, by its id.
    """
    plain: dict[str, float] = {}
    distinct = list(dict.fromkeys(answer.id for answers in heard.values() for answer in answers))
    for start in range(0, len(distinct), 40):
        ids = distinct[start : start + 40]
        found = await likelihoods(hands, ids, "How likely are these answers to the clean base, unprompted?")
        plain |= dict(zip(ids, found or [], strict=False))
    ratios: dict[str, dict[str, float]] = {}
    for entry in entries:
        ids = [answer.id for answer in heard[entry.id] if answer.id in plain]
        acted = await likelihoods(hands, ids, f"And while acting out '{entry.id}'?", entry.instruction) if ids else None
        ratios[entry.id] = {name: act - plain[name] for name, act in zip(ids, acted or [], strict=False)}
    return posterior({entry: clipped_sum(list(r.values()), MOST_NATS) + extra for entry, r in ratios.items()}), ratios
