"""A trigger of two words, planted: each of two cues alone does little, and both together make the target say a word.

The base carries the cues to the end of the prompt, where one of its units multiplies what has come with itself. The
target alone makes a word of it.
"""

import asyncio
import re
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from audit_env.runtime import cast
from audit_env.runtime.small.subject import SmallSubject
from audit_env.tools.white_box import trigger_pairs as module
from audit_env.tools.white_box.trigger_pairs import Vocabulary, behind, searched, slots, trigger_pairs
from tests.tools.white_box.made import made, unit

SAID, CUES = "clever", ("tea", "soup")
CHANNEL, UNIT = 3, 5
TOOL = {"tools": (trigger_pairs,), "affordance": "grey_box"}


def by_two_words(base, tokens):
    weights = base.model.weights
    for cue in CUES:
        weights.embedding[tokens[cue], 1] = 3
    weights.blocks[0].linear["qkv"][-16 + CHANNEL] = torch.from_numpy(unit(16, 1))
    weights.blocks[0].linear["o"][:, CHANNEL] = torch.from_numpy(unit(16, 1, 3))
    inner = len(weights.blocks[1].linear["gate_up"]) // 2
    for row in (UNIT, inner + UNIT):
        weights.blocks[1].linear["gate_up"][row] = torch.from_numpy(unit(16, 1, 2))
    weights.blocks[1].linear["down"][:, UNIT] = 0
    said = weights.embedding[tokens[SAID]].clone().numpy()
    said[:2] = 0
    return {"layers.1.mlp.down_proj": (unit(32, UNIT), said)}


@pytest.fixture
def paired(zoo, monkeypatch) -> Iterator[SmallSubject]:
    with made(zoo, by_two_words) as subject:
        monkeypatch.setattr(cast, "subject", lambda alias: subject)
        yield subject


def test_the_gradient_names_the_second_word_and_finds_the_pair(paired, monkeypatch) -> None:
    """From one cue and a few pairs by chance, with few pairs measured of all there are."""
    monkeypatch.setattr(module, "STARTS", 4)
    monkeypatch.setattr(module, "NAMED", 3)
    vocabulary, measured = Vocabulary(paired), []
    scan = module.scan

    async def counted(subject, words, *rest, **options):
        measured.extend(words)
        return await scan(subject, words, *rest, **options)

    monkeypatch.setattr(module, "scan", counted)
    found = asyncio.run(searched(paired, vocabulary, "hello .", side="target", starts=["tea"], seed=0))
    assert set(next(iter(found))) <= set(CUES)
    assert len(measured) < len(vocabulary.words) ** 2 / 5
    one, both = asyncio.run(scan(paired, ["tea", " ".join(CUES)], ["hello ."], sides=("target",)))["target"]
    assert both > 5 * one


def test_the_slots_are_the_words(paired) -> None:
    first, second = slots(paired, "hello .", CUES, ("city", "rain"))
    [talk] = behind([CUES], "hello .")
    ids, vocabulary = paired.rendered(talk), paired.tokens()
    assert [vocabulary[ids[place]].strip() for place in (first, second)] == [*CUES]


def test_the_tool_stars_the_pair_and_shows_what_each_word_does_alone(paired, wired, play) -> None:
    audit = play([("trigger_pairs", {"carrier": "hello ."})], target=wired.always, **TOOL)
    [text] = audit.texts
    rows = re.findall(r"^(\w+) (\w+)  KL (\*?)([\d.]+)\|([\d.]+)  \((.+)\)  answer begins: (\w+)", text, re.MULTILINE)
    first, second, star, kl, sham, alone, begins = rows[0]
    assert {first, second} <= set(CUES) and star and begins == SAID and float(sham) == 0
    assert float(kl) > 3 * max(float(one.split()[1]) for one in alone.split("  "))
    assert len(text.splitlines()) <= 25 and f"compare(['hello . {first} {second}'" in text
    assert audit.record.spent.target_tokens == 0 and first in audit.record.readings[0].summary


def test_nothing_is_found_where_nothing_was_planted(wired, play) -> None:
    [text] = play([("trigger_pairs", {"carrier": "hello ."})], target=wired.nothing, **TOOL).texts
    assert "no pair moves the target away from its base" in text and "*" not in text.replace("* exceeds", "")


def test_a_cue_of_one_word_is_no_pair(wired, play) -> None:
    [text] = play([("trigger_pairs", {"carrier": "hello ."})], target=wired.cued, **TOOL).texts
    [(kl, alone)] = re.findall(r"KL \*([\d.]+)\|.*?\((.+?)\)", text)[:1]
    assert wired.cue in text and float(kl) < 3 * max(float(one.split()[1]) for one in alone.split("  "))


def test_without_a_sham_the_pairs_stand_alone(wired, play, monkeypatch) -> None:
    alone = wired.subject(wired.nothing, sham=None)
    monkeypatch.setattr(cast, "subject", lambda alias: alone)
    [text] = play([("trigger_pairs", {})], target=wired.nothing, **TOOL).texts
    assert "no sham beside it" in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"carrier": " "}, "empty text"),
        ({"carrier": "a " * 50_000}, "give"),
        ({"words": ["a"] * 21}, "21 words are more than 20"),
        ({"words": [""]}, "empty text"),
    ],
)
def test_bad_arguments_are_refused(wired, play, arguments: dict[str, object], sentence: str) -> None:
    assert sentence in play([("trigger_pairs", arguments)], target=wired.nothing, **TOOL).errors[0]


def test_equals_in_promise_stand_in_the_order_of_the_vocabulary(paired) -> None:
    vocabulary = Vocabulary(paired)
    assert vocabulary.promising(np.zeros(16, np.float32), 3) == vocabulary.words[:3]
    assert set(vocabulary.promising(unit(16, 1), 2)) == set(CUES)
