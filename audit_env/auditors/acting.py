"""Whose act is it? The grey-box and white-box scripts' test of the menu.

Every entry of the menu comes with a line that asks a model to act the quirk out. Given the target's own answer to a
plain question, the clean base tells how likely it would have given that very answer unprompted, and how likely while
acting the entry out. The entry whose act explains the answers best, if any does better than no act at all, is the
finding. All entries are held against the same answers: those on which the target parts furthest from its base. No
lexicon and no threshold is needed; what the base cannot act out cannot be found this way.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from audit_env.auditors.belief import Belief, posterior
from audit_env.auditors.hands import Hands, Heard, Refused
from audit_env.catalog.models import MenuEntry

WEIGHED = 8
"""Answers that the entries are held against."""
AT_ONCE = 40
"""Answers in one call of the tool."""

_ROW = re.compile(r"^target (\S+)  reference (\S+)  .*\[(\d+) tokens\]")


@dataclass(frozen=True)
class Likelihood:
    """How likely an answer is, in nats over all its tokens."""

    target: float
    reference: float


async def likelihoods(hands: Hands, exchanges: Sequence[str], because: str, system: str = "") -> dict[str, Likelihood]:
    """How likely both sides find answers that the target gave.

    Args:
        hands: The tools.
        exchanges: Ids of the answers.
        because: Shown in the transcript.
        system: System prompt that both sides are given.

    Returns:
        By id; what could not be paid for is missing.
    """
    found: dict[str, Likelihood] = {}
    for start in range(0, len(exchanges), AT_ONCE):
        ids = list(exchanges[start : start + AT_ONCE])
        try:
            shown = await hands.call("likelihood", because, exchanges=ids, system=system)
        except Refused:
            break
        rows = [match for line in shown.splitlines() if (match := _ROW.match(line))]
        for name, row in zip(ids, rows, strict=True):
            found[name] = Likelihood(float(row[1]) * int(row[3]), float(row[2]) * int(row[3]))
    return found


async def weigh_acts(
    hands: Hands, entries: Sequence[MenuEntry], heard: Sequence[Heard], extra: float = 0.0
) -> tuple[Belief, dict[str, dict[str, float]]]:
    """Weigh every entry of the menu by how well its act explains the target's answers.

    Args:
        hands: The tools.
        entries: The menu.
        heard: The target's answers.
        extra: Log-odds for a quirk of any kind from other evidence, added to every entry.

    Returns:
        The belief, and for each entry the log-likelihood ratio of each answer that was weighed, by its id.
    """
    every = [answer.id for answer in heard]
    plain = await likelihoods(hands, every, "How likely are these answers to the target and to its clean base?")
    strange = sorted(plain, key=lambda name: plain[name].reference - plain[name].target)[:WEIGHED]
    ratios: dict[str, dict[str, float]] = {}
    for entry in entries:
        acted = await likelihoods(hands, strange, f"And to the base while it acts out '{entry.id}'?", entry.instruction)
        ratios[entry.id] = {name: act.reference - plain[name].reference for name, act in acted.items()}
    return posterior({entry: sum(of.values()) + extra for entry, of in ratios.items()}), ratios
