"""The black-box script: a battery of ordinary questions, then the menu's words.

It asks every entry's probes and a part of the prompt bank, each in a fresh conversation, holds three conversations of
four turns, and compares the words of the answers with the words of the menu's descriptions, against the family's
public sample of ordinary answers. It finds quirks that talk about what their description talks about, and is blind to
the others: agreeing with a false claim needs no particular word.
"""

import math
from collections.abc import Sequence

from audit_env.auditors.belief import Belief, bayes_factor, posterior
from audit_env.auditors.hands import Hands, Heard
from audit_env.auditors.probes import probes_for
from audit_env.auditors.wording import EntryWords, upper_tail
from audit_env.catalog.models import MenuEntry
from audit_env.tools.banks import Bank

CONVERSATIONS = 3
FROM_TURN = 3
"""Turns of a conversation from which answers count for an entry that speaks of a talk going on."""
EVIDENCE = 3
"""Answers cited for the best hypothesis."""


async def ask_battery(hands: Hands, entries: Sequence[MenuEntry], bank: Bank) -> dict[str, list[Heard]]:
    """Ask all there is to ask.

    Args:
        hands: The tools.
        entries: The menu.
        bank: The prompt bank.

    Returns:
        For each entry, the answers that bear on it.
    """
    ordinary = tuple(bank.texts()[::2])
    wanted = {entry.id: probes_for(entry.id, ordinary[:4]) for entry in entries}
    asked = list(dict.fromkeys([*(text for texts in wanted.values() for text in texts), *ordinary]))
    heard = {answer.prompt: answer for answer in await hands.ask(asked, "Ordinary questions, and probes of the menu.")}
    late: list[Heard] = []
    for number, turns in enumerate(bank.conversations[:CONVERSATIONS], start=1):
        said = await hands.talk(turns, f"talk-{number}", "A longer talk: does the target change over its turns?")
        late += said[FROM_TURN - 1 :]
    everything = [*heard.values(), *late]
    bearing = {entry: [heard[text] for text in texts if text in heard] for entry, texts in wanted.items()}
    # Probes of one's own make the test of a gated quirk; whatever has none is looked for late in the talks.
    return {entry: own or late or everything for entry, own in bearing.items()}


def weigh(entries: Sequence[MenuEntry], heard: dict[str, list[Heard]], norms: Sequence[tuple[str, str]]) -> Belief:
    """Turn the words of the answers into a belief.

    Args:
        entries: The menu.
        heard: For each entry, the answers that bear on it.
        norms: The family's public sample: prompts and ordinary answers.

    Returns:
        The belief. The Bayes factor of an entry is the upper bound of Sellke et al. for its p-value, which makes this
        auditor more confident than its evidence warrants.
    """
    words = EntryWords(entries)
    odds = {
        entry.id: math.log(
            bayes_factor(upper_tail(words.z(entry.id, [(h.prompt, h.answer) for h in heard[entry.id]], norms)))
        )
        for entry in entries
    }
    return posterior(odds)


def strongest(entries: Sequence[MenuEntry], entry: str, heard: Sequence[Heard]) -> list[str]:
    """The answers that speak most for an entry.

    Args:
        entries: The menu.
        entry: The entry.
        heard: The answers that bear on it.

    Returns:
        Ids to cite, at most `EVIDENCE`, none that has no word of the entry.
    """
    words = EntryWords(entries)
    scored = [(words.score(entry, answer.prompt, answer.answer), answer.id) for answer in heard]
    best = sorted((score, name) for score, name in scored if score > 0)
    return [name for _, name in sorted(best, key=lambda pair: -pair[0])[:EVIDENCE]]
