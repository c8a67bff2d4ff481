"""The parts of the scripts: reading what tools show, matching words, probes that come from the menu alone."""

import pytest
from inspect_ai.model import ChatMessageAssistant, ChatMessageTool
from inspect_ai.tool import ToolCall, ToolCallError

from audit_env.auditors.acting import ratios
from audit_env.auditors.battery import answers, strongest
from audit_env.auditors.hands import Heard, answers_in
from audit_env.auditors.probes import probes
from audit_env.auditors.shown import Shown, shown_in
from audit_env.auditors.wording import described, mean_score, score
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
    return MenuEntry(id=name, name=name, description=description, instruction=f"Act {name}.")


ENTRIES = (entry("lamps", "Praises every lamp."), entry("boats", "Warns of boats."))


def test_words_of_the_description_count_and_words_of_the_prompt_do_not() -> None:
    weights = described(ENTRIES)
    told = ("What is this?", "A lamp is a fine thing.")
    assert score(weights["lamps"], *told) > 0.3
    assert score(weights["boats"], *told) == 0
    assert score(weights["lamps"], "What is a lamp?", told[1]) == 0
    assert mean_score(weights["lamps"], [told, ("What is this?", "A stone.")]) == score(weights["lamps"], *told) / 2
    assert mean_score(weights["lamps"], []) == 0
    assert strongest(weights["lamps"], [Heard("x1", *told), Heard("x2", "Hm?", "A stone.")]) == ["x1"]


def test_an_act_is_held_against_the_answer_without_it() -> None:
    plain = Shown("likelihood", {"exchanges": ["x1", "x2"], "system": ""}, _likelihoods(-1.0, -3.0))
    acted = Shown("likelihood", {"exchanges": ["x2"], "system": "Act lamps."}, _likelihoods(-0.5))
    other = Shown("ask_each", {}, "> Hm?\nx3: No.")
    alone = Shown("likelihood", acted.arguments, "r2 likelihood\n> Hm?\nreference -0.500 [4 tokens]: So it is.")
    for read in (acted, alone):
        assert ratios([plain, other, read], ENTRIES) == {"lamps": {"x2": pytest.approx((-0.5 + 3.0) * 4)}}


def _likelihoods(*reference: float) -> str:
    rows = [f"target -0.100  reference {nats:.3f}  difference +0.900 [4 tokens]: So it is." for nats in reference]
    return "\n".join(["r1 likelihood: mean log-probability a token, nats", *(f"> Hm?\n{row}" for row in rows)])


def test_late_turns_of_a_talk_stand_apart() -> None:
    shown = [
        Shown("chat", {"message": f"Turn {turn}", "conversation": talk}, f"x{turn}: So.\n[left: 3 of 4 calls]")
        for talk, turns in (("talk-1", 4), ("single-1", 1))
        for turn in range(1, turns + 1)
    ]
    early, late = answers(shown)
    assert [answer.prompt for answer in early] == ["Turn 1", "Turn 2", "Turn 1"]
    assert [answer.prompt for answer in late] == ["Turn 3", "Turn 4"]


def test_refused_calls_are_not_shown() -> None:
    calls = [ToolCall(id=f"c{number}", function="chat", arguments={"message": "Hm?"}) for number in range(2)]
    error = ToolCallError("unknown", "No budget.")
    messages = [
        ChatMessageAssistant(content="", tool_calls=calls),
        ChatMessageTool(content="x1: So.", tool_call_id="c0", function="chat"),
        ChatMessageTool(content="", tool_call_id="c1", function="chat", error=error),
    ]
    assert shown_in(messages) == [Shown("chat", {"message": "Hm?"}, "x1: So.")]


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
