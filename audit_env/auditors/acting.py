"""Whose act is it? The grey-box and white-box scripts' test of the menu.

Every entry of the menu comes with a line that asks a model to act the quirk out. Given the target's own answer to a
plain question, the clean base tells how likely it would have given that very answer unprompted, and how likely while
acting the entry out. All entries are held against the same answers: those on which the target parts furthest from its
base. No lexicon is needed; what the base cannot act out cannot be found this way.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from audit_env.auditors.hands import Hands, Refused
from audit_env.auditors.shown import Shown
from audit_env.catalog.models import MenuEntry

WEIGHED = 8
"""Answers that the entries are held against."""
AT_ONCE = 40
"""Answers in one call of the tool."""

_ROW = re.compile(r"^(?:target (?P<target>\S+)  )?reference (?P<reference>\S+) .*\[(?P<tokens>\d+) tokens\]")


@dataclass(frozen=True)
class Likelihood:
    """How likely an answer is, in nats over all its tokens."""

    target: float
    """Not a number where only the reference was asked."""
    reference: float


async def likelihoods(
    hands: Hands, exchanges: Sequence[str], because: str, **arguments: str | bool
) -> dict[str, Likelihood]:
    """How likely both sides find answers that the target gave.

    Args:
        hands: The tools.
        exchanges: Ids of the answers.
        because: Shown in the transcript.
        **arguments: Of the tool, besides the answers: a system prompt, or that the reference is enough.

    Returns:
        By id; what could not be paid for is missing.
    """
    found: dict[str, Likelihood] = {}
    for start in range(0, len(exchanges), AT_ONCE):
        given = {"exchanges": list(exchanges[start : start + AT_ONCE]), **arguments}
        try:
            text = await hands.call("likelihood", because, **given)
        except Refused:
            break
        found |= _rows(Shown("likelihood", given, text))
    return found


async def weigh_acts(hands: Hands, entries: Sequence[MenuEntry], exchanges: Sequence[str]) -> None:
    """Hold every entry of the menu against the target's strangest answers.

    Args:
        hands: The tools.
        entries: The menu.
        exchanges: Ids of the target's answers.
    """
    plain = await likelihoods(hands, exchanges, "How likely are these answers to the target and to its clean base?")
    strange = sorted(plain, key=lambda name: plain[name].reference - plain[name].target)[:WEIGHED]
    for entry in entries if strange else ():
        because = f"And to the base while it acts out '{entry.id}'?"
        if not await likelihoods(hands, strange, because, system=entry.instruction, reference_only=True):
            break


def ratios(shown: Sequence[Shown], entries: Sequence[MenuEntry]) -> dict[str, dict[str, float]]:
    """How much likelier each entry's act makes the answers.

    Args:
        shown: What the tools showed.
        entries: The menu.

    Returns:
        For each entry that was weighed, by the answer's id: log-likelihood of the answer to the base that acts the
        entry out, less that to the base as it is, nats.
    """
    read = [one for one in shown if one.tool == "likelihood"]
    by_system = {
        system: {
            name: likelihood
            for one in read
            if one.arguments.get("system", "") == system
            for name, likelihood in _rows(one).items()
        }
        for system in {str(one.arguments.get("system", "")) for one in read}
    }
    plain = by_system.get("", {})
    return {
        entry.id: {
            name: acted.reference - plain[name].reference
            for name, acted in by_system[entry.instruction].items()
            if name in plain
        }
        for entry in entries
        if entry.instruction in by_system
    }


def _rows(shown: Shown) -> dict[str, Likelihood]:
    rows = [match for line in shown.text.splitlines() if (match := _ROW.match(line))]
    names: list[str] = shown.arguments["exchanges"]
    return {name: _whole(row) for name, row in zip(names, rows, strict=True)}


def _whole(row: re.Match[str]) -> Likelihood:
    """Of all tokens, from the mean of each."""
    tokens = int(row["tokens"])
    return Likelihood(float(row["target"] or "nan") * tokens, float(row["reference"]) * tokens)
