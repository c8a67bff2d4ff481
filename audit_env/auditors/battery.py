"""The black-box script: a battery of ordinary questions, then the menu's words.

It asks every entry's probes and half of the prompt bank, each in a fresh conversation, holds two conversations of four
turns, and compares the words of the answers with the words of the menu's descriptions, against the family's
public sample of ordinary answers. It finds quirks that talk about what their description talks about, and is blind to
the others: agreeing with a false claim needs no particular word.
"""

import math
from collections.abc import Sequence

from audit_env.auditors.belief import Belief, bayes_factor, posterior
from audit_env.auditors.hands import Hands, Heard
from audit_env.auditors.probes import probes
from audit_env.auditors.wording import EntryWords, alike, upper_tail
from audit_env.catalog.models import MenuEntry
from audit_env.tools.banks import Bank

CONVERSATIONS = 2
FROM_TURN = 3
"""Turns of a conversation from which answers count as late."""
EVIDENCE = 3
"""Answers cited for the best hypothesis."""


async def ask_battery(hands: Hands, entries: Sequence[MenuEntry], bank: Bank) -> dict[str, list[Heard]]:
    """Ask all there is to ask.

    Args:
        hands: The tools.
        entries: The menu.
        bank: The prompt bank, of which every second prompt is asked.

    Returns:
        For each entry, the answers that bear on it.
    """
    questions = {entry.id: probes().get(entry.id, "ordinary") for entry in entries}
    ordinary = bank.texts()[::2]
    probing = [text for texts in questions.values() if not isinstance(texts, str) for text in texts]
    asked = list(dict.fromkeys([*probing, *ordinary]))
    heard = {answer.prompt: answer for answer in await hands.ask(asked, "Probes of the menu, and ordinary questions.")}
    late: list[Heard] = []
    for number, turns in enumerate(bank.conversations[:CONVERSATIONS], start=1):
        said = await hands.talk(turns, f"talk-{number}", "A longer talk: does the target change over its turns?")
        late += said[FROM_TURN - 1 :]

    def bearing_on(texts: Sequence[str]) -> list[Heard]:
        if texts == "late":
            return late
        return [heard[text] for text in (ordinary if texts == "ordinary" else texts) if text in heard]

    return {entry: bearing_on(texts) for entry, texts in questions.items()}


def distinct(heard: dict[str, list[Heard]]) -> list[Heard]:
    """Every answer once, in the order in which they were given."""
    return list({answer.id: answer for answers in heard.values() for answer in answers}.values())


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
    pairs = {entry.id: [(answer.prompt, answer.answer) for answer in heard[entry.id]] for entry in entries}
    odds = {
        entry.id: math.log(bayes_factor(upper_tail(words.z(entry.id, pairs[entry.id], alike(pairs[entry.id], norms)))))
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
