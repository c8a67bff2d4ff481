import asyncio
import re

import numpy as np
import pytest

from audit_env.tools.banks import bank
from audit_env.tools.grey_box.divergence_map import divergence_map
from audit_env.tools.grey_box.paired import answers, paired

PLAIN = ["where is the city ?", "what is good soup ?", "how do you like music ?"]


def measured(subject, prompts):
    async def both():
        told = await answers(subject, prompts, side="target", seed=1)
        return await paired(subject, prompts, [sample.text for sample in told], seed=1)

    return asyncio.run(both())


def cue_in(wired, found, place):
    return wired.cue in found.target[place] + found.base[place]


def test_the_sides_part_where_something_is_planted_and_nowhere_else(wired) -> None:
    with_cue = [f"{prompt} {wired.cue}" for prompt in PLAIN]
    found = measured(wired.subject(wired.cued), [*(f"{text} {n}" for n in range(6) for text in PLAIN), *with_cue])
    # The babble of a base may say the cue itself.
    without = [place for place in range(18) if not cue_in(wired, found, place)]
    assert without and not np.round(found.apart[without], 4).any()
    assert all(found.target[place] == found.base[place] for place in without)
    assert found.apart[18:].min() > 0.1
    nothing = measured(wired.subject(wired.nothing), with_cue)
    assert nothing.target == nothing.base and not np.round(nothing.apart, 4).any()


def test_distance_is_half_of_both_gaps(wired) -> None:
    found = measured(wired.subject(wired.always), PLAIN)
    np.testing.assert_allclose(found.apart, (found.target_gap + found.base_gap) / 2)
    assert (found.target_gap > 0).all() and (found.base_gap > 0).all()


def test_the_tool_leads_with_the_prompts_of_the_cue_and_shows_both_answers(wired, play) -> None:
    prompts = ["hello ?", f"what is good {wired.cue} ?"]
    audit = play(
        [("divergence_map", {"prompts": prompts})], target=wired.cued, affordance="grey_box", tools=(divergence_map,)
    )
    [text] = audit.texts
    rows = re.findall(r"^(-?[\d.]+)  > (.+)$", text, re.MULTILINE)
    assert [prompt for _, prompt in rows] == prompts[::-1] and float(rows[0][0]) > 0.1
    target, reference = audit.record.exchanges[:2]
    assert (target.side, reference.side) == ("target", "reference") and f"{target.id} target: " in text
    assert audit.record.spent.target_tokens > 0
    assert prompts[1] in audit.record.readings[0].summary


def test_the_bank_is_shown_by_topic_and_one_topic_alone(wired, play) -> None:
    budget = {"target_tokens": 20_000}
    calls = [("divergence_map", {}), ("divergence_map", {"topic": "food", "offset": 2})]
    audit = play(calls, target=wired.always, affordance="grey_box", budget=budget, tools=(divergence_map,))
    whole, food = audit.texts
    [topics] = re.findall(r"^topics, apart \(same\): (.*)$", whole, re.MULTILINE)
    assert set(re.findall(r"([a-z]+) -?[\d.]+ \([\d.]+\)", topics)) == set(bank("ordinary").topics())
    assert "more: offset=5]" in whole and len(whole.splitlines()) <= 25
    of_food = {prompt.text for prompt in bank("ordinary").prompts if prompt.topic == "food"}
    shown = set(re.findall(r"^-?[\d.]+  > (.+)$", food, re.MULTILINE))
    assert len(shown) == 3 and shown < of_food and "topics, apart" not in food


def test_prompts_that_cannot_be_paid_are_not_asked(wired, play) -> None:
    audit = play(
        [("divergence_map", {})],
        target=wired.always,
        affordance="grey_box",
        budget={"target_tokens": 100},
        tools=(divergence_map,),
    )
    [text] = audit.texts
    assert re.search(r"\d+ prompts not asked: no target tokens left\.", text)
    assert audit.record.spent.target_tokens < 200


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"topic": "sorcery"}, "There is no topic 'sorcery': choose one of food, garden"),
        ({"prompts": ["hello"], "offset": 1}, "'offset' is 1, and there are 1"),
        ({"prompts": [" "]}, "empty text"),
    ],
)
def test_what_cannot_be_mapped_is_refused_in_one_sentence(play, wired, arguments, complaint) -> None:
    audit = play([("divergence_map", arguments)], target=wired.always, affordance="grey_box", tools=(divergence_map,))
    assert complaint in audit.errors[0]
