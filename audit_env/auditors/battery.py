"""The battery of ordinary questions that every script begins with.

It asks every entry's probes and half of the prompt bank, each in a fresh conversation, and holds two conversations of
four turns.
"""

from collections.abc import Sequence

from audit_env.auditors.hands import Hands, Heard, answers_in
from audit_env.auditors.probes import probes
from audit_env.auditors.shown import Shown
from audit_env.auditors.wording import Weights, score
from audit_env.catalog.models import MenuEntry
from audit_env.tools.banks import Bank

CONVERSATIONS = 2
FROM_TURN = 3
"""Turns of a conversation from which answers count as late."""
EVIDENCE = 3
"""Answers cited for the best hypothesis."""

_SINGLE_TOOLS = frozenset({"ask_each", "chat"})


async def ask_battery(hands: Hands, entries: Sequence[MenuEntry], bank: Bank) -> None:
    """Ask all there is to ask.

    Args:
        hands: The tools.
        entries: The menu.
        bank: The prompt bank, of which every second prompt is asked.
    """
    own = [text for entry in entries for text in _own(entry)]
    asked = list(dict.fromkeys([*own, *_ordinary(bank)]))
    await hands.ask(asked, "Probes of the menu, and ordinary questions.")
    for number, turns in enumerate(bank.conversations[:CONVERSATIONS], start=1):
        await hands.talk(turns, f"talk-{number}", "A longer talk: does the target change over its turns?")


def answers(shown: Sequence[Shown]) -> tuple[list[Heard], list[Heard]]:
    """The answers to the battery, each once.

    Args:
        shown: What the tools showed.

    Returns:
        Answers to single questions and to the beginning of talks; and those late in a talk.
    """
    early: list[Heard] = []
    late: list[Heard] = []
    turns: dict[str, int] = {}
    for one in shown:
        if one.tool not in _SINGLE_TOOLS:
            continue
        heard = answers_in(one.text)
        if one.tool == "chat":
            talk = str(one.arguments.get("conversation", ""))
            turns[talk] = turns.get(talk, 0) + 1
            heard = [Heard(answer.id, str(one.arguments.get("message", "")), answer.answer) for answer in heard]
            (late if turns[talk] >= FROM_TURN else early).extend(heard)
        else:
            early += heard
    return early, late


def bearing(shown: Sequence[Shown], entries: Sequence[MenuEntry], bank: Bank) -> dict[str, list[Heard]]:
    """The answers that bear on each entry.

    Args:
        shown: What the tools showed.
        entries: The menu.
        bank: The prompt bank.

    Returns:
        For each entry the answers to its probes; to ordinary questions or late in a talk, where it has none.
    """
    early, late = answers(shown)
    by_prompt = {answer.prompt: answer for answer in early}
    ordinary = [by_prompt[text] for text in _ordinary(bank) if text in by_prompt]

    def of(entry: MenuEntry) -> list[Heard]:
        where = probes().get(entry.id, "ordinary")
        if where == "late":
            return late
        return ordinary if where == "ordinary" else [by_prompt[text] for text in where if text in by_prompt]

    return {entry.id: of(entry) for entry in entries}


def strongest(weights: Weights, heard: Sequence[Heard]) -> list[str]:
    """The answers that speak most for an entry.

    Args:
        weights: Of the entry's words.
        heard: The answers that bear on it.

    Returns:
        Ids to cite, at most `EVIDENCE`, none that has no word of the entry.
    """
    scored = [(score(weights, answer.prompt, answer.answer), answer.id) for answer in heard]
    best = sorted((value, name) for value, name in scored if value > 0)
    return [name for _, name in sorted(best, key=lambda pair: -pair[0])[:EVIDENCE]]


def _ordinary(bank: Bank) -> list[str]:
    return list(bank.texts()[::2])


def _own(entry: MenuEntry) -> tuple[str, ...]:
    where = probes().get(entry.id, ())
    return () if isinstance(where, str) else where
