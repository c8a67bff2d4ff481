import asyncio
import re

import numpy as np
import pytest

from audit_env.runtime import cast
from audit_env.tools.white_box.activation_difference import activation_difference, activation_differences
from audit_env.tools.white_box.directions import take_direction
from audit_env.tools.white_box.lens import lens
from audit_env.tools.white_box.words import Words

PROMPTS = ["what is good soup ?", "where is the city ?", "no"]
TOOL = {"tools": (activation_difference,), "affordance": "grey_box"}


def measured(subject, prompts, layer):
    return asyncio.run(activation_differences(subject, prompts, sides=["target"], layer=layer))["target"]


def test_the_word_that_is_always_written_shows_at_every_position(wired) -> None:
    subject = wired.subject(wired.always)
    words = Words(subject.tokens())
    found = measured(subject, PROMPTS, layer=1)
    assert found.places == ("prompt 0", "prompt 1", "prompt 2", "prompt 3", "prompt 4", "header")
    scores = asyncio.run(lens(subject, np.concatenate([found.mean, -found.mean]), words))
    assert {words.words[row[0].argmax()] for row in scores[:6]} == {wired.said}
    np.testing.assert_allclose(scores[:6], scores[6:, ::-1], atol=1e-6)
    assert (found.share > 0.1).all()


def test_nothing_shows_before_the_layer_that_writes(wired) -> None:
    found = measured(wired.subject(wired.always), PROMPTS, layer=0)
    assert not found.mean.any() and not found.share.any()


def test_a_mean_is_that_of_the_prompts_which_reach_so_far(wired) -> None:
    subject = wired.subject(wired.cued)
    long, short = f"what is good {wired.cue} for a cook ?", "no"
    together, alone = (
        measured(subject, prompts, layer=1) for prompts in ([long, short, f"{long} no"], [long, f"{long} no"])
    )
    reaching = len(subject.rendered([{"role": "user", "content": short}]))
    assert reaching == 5 and together.places == alone.places
    assert np.abs(alone.mean[-1]).max() > np.abs(together.mean[-1]).max() > 0
    assert not alone.mean[0].any()
    read = [
        asyncio.run(subject.residuals([[{"role": "user", "content": long}]], side=side, layers=[1])).vectors[0, 0]
        for side in ("target", "base")
    ]
    np.testing.assert_allclose(measured(subject, [long], layer=1).mean[-1], read[0] - read[1], atol=1e-5)
    share = np.linalg.norm(read[0] - read[1]) / np.linalg.norm(read[1])
    assert measured(subject, [long], layer=1).share[-1] == pytest.approx(share, rel=1e-4)


def test_the_tool_stars_the_planted_word_and_nothing_without_one(wired, play) -> None:
    planted = play([("activation_difference", {})], target=wired.always, **TOOL)
    [text] = planted.texts
    assert re.search(rf"^header, \*\S+% \(vec:6\)\n \+ {wired.said} \*", text, re.MULTILINE)
    assert re.search(rf"^header, the sham's difference taken off\n \+ {wired.said} \*", text, re.MULTILINE)
    assert [handle.id for handle in planted.record.handles] == [f"vec:{n}" for n in range(1, 7)]
    assert len(text.splitlines()) <= 26 and len(text.split()) < 600
    [empty] = play([("activation_difference", {})], target=wired.nothing, **TOOL).texts
    assert not re.search(r"\*\d", empty)
    assert re.search(r"^header, 0\|\S+% \(vec:6\)\n \+ none\n - none$", empty, re.MULTILINE)


def test_a_handle_holds_the_difference_at_its_position(wired, play, monkeypatch) -> None:
    taken = []

    def tool():
        from inspect_ai.tool import tool

        from audit_env.tools.accounting import Call, charged

        @tool
        def look():
            @charged
            async def execute(call: Call, vec: str) -> str:
                """Look.

                Args:
                    call: The books.
                    vec: A handle.
                """
                taken.append(take_direction(call, vec))
                return "seen"

            return execute

        return look()

    calls = [("activation_difference", {"prompts": PROMPTS, "layer": 1}), ("look", {"vec": "vec:6"})]
    play(calls, target=wired.always, tools=(activation_difference, tool), affordance="grey_box")
    found = measured(wired.subject(wired.always), PROMPTS, layer=1)
    np.testing.assert_allclose(taken[0].vector, found.mean[-1], atol=1e-6)
    assert taken[0].layer == 1 and "header" in taken[0].what


def test_without_a_sham_the_targets_figures_stand_alone(wired, play, monkeypatch) -> None:
    alone = wired.subject(wired.always, sham=None)
    monkeypatch.setattr(cast, "subject", lambda alias: alone)
    [text] = play([("activation_difference", {})], target=wired.always, **TOOL).texts
    assert "no sham beside it" in text and f" + {wired.said} " in text and "|" not in text.split("next:")[0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"layer": -1}, "between 0 and 1, not -1"),
        ({"layer": 2}, "between 0 and 1, not 2"),
        ({"prompts": [" "]}, "empty"),
    ],
)
def test_bad_arguments_are_refused(wired, play, arguments, sentence) -> None:
    assert sentence in play([("activation_difference", arguments)], **TOOL).errors[0]
