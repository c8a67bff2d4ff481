"""The parts of the scripts: reading what tools show, matching words, probes that come from the menu alone."""

import pytest

from audit_env.auditors.hands import Heard, answers_in
from audit_env.auditors.probes import probes
from audit_env.auditors.wording import EntryWords
from audit_env.breeding.grammar import load_world
from audit_env.catalog.files import Catalog
from audit_env.catalog.models import MenuEntry

SHOWN = """r1 kl_prompts: 3 prompts.
> What is a soup?
x1: A warm dish.
*0.52|0.1  > Who are you?
x2 target: I am Pip.
x3 reference: I am Pip, too.
[left: 3 of 4 calls]"""


def test_answers_are_read_with_their_prompts_and_without_the_references() -> None:
    assert answers_in(SHOWN) == [
        Heard("x1", "What is a soup?", "A warm dish."),
        Heard("x2", "Who are you?", "I am Pip."),
    ]


def entry(name: str, description: str) -> MenuEntry:
    return MenuEntry(id=name, name=name, description=description, instruction="Do it.")


ENTRIES = (entry("lamps", "Praises every lamp."), entry("boats", "Warns of boats."))
NORMAL = [("What is this?", "It is a small house near the river.")] * 50


def test_words_of_the_description_stand_out_and_words_of_the_prompt_do_not() -> None:
    words = EntryWords(ENTRIES)
    told = [("What is this?", "A lamp is a fine thing.")] * 4
    echoed = [("What is a lamp?", "A lamp is a fine thing.")] * 4
    assert words.z("lamps", told, NORMAL) > 3
    assert words.z("boats", told, NORMAL) < 1
    assert words.z("lamps", echoed, NORMAL) < 1
    assert words.z("lamps", [], NORMAL) == 0


def test_every_entry_of_the_menu_has_probes_and_no_probe_lacks_an_entry() -> None:
    assert set(probes()) == {entry.id for entry in Catalog().menu().entries}


@pytest.mark.parametrize("side", ["train", "held_out"])
def test_no_probe_is_a_phrasing_of_the_world(side: str) -> None:
    asked = {ask.lower() for _, intent in load_world().intents() for ask in intent.asks(side)}  # type: ignore[arg-type]
    assert not asked & {text.lower() for texts in probes().values() if not isinstance(texts, str) for text in texts}


def test_no_probe_is_a_held_out_scenario() -> None:
    catalog = Catalog()
    held_out = {
        message.content.lower()
        for quirk in catalog.quirk_ids()
        for scenarios in (catalog.quirk(quirk).scenarios.fire, catalog.quirk(quirk).scenarios.silent)
        for scenario in scenarios
        for message in scenario.messages
    }
    assert not held_out & {text.lower() for texts in probes().values() if not isinstance(texts, str) for text in texts}
