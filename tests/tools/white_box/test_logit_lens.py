import re

import numpy as np
import pytest

from audit_env.runtime import cast
from audit_env.runtime.lenses import TunedLens
from audit_env.tools.white_box.logit_lens import chosen_layers, logit_lens

TOOL = {"tools": (logit_lens,), "affordance": "grey_box"}
ASKED = {"prompt": "what is good soup ?"}


def rows(text: str) -> dict[str, str]:
    """What each block gained, by its line."""
    return dict(re.findall(r"^(block \d+): .*\n  gained: (.*)$", text, re.MULTILINE))


def test_the_said_word_rises_in_the_block_that_writes_it(wired, play) -> None:
    [text] = play([("logit_lens", ASKED)], target=wired.always, **TOOL).texts
    assert rows(text)["block 1"].startswith(f"{wired.said} *") and rows(text)["block 0"] == "none"
    assert re.search(rf"^block 1: target {wired.said} ", text, re.MULTILINE)
    assert "(logit lens)" in text and len(text.splitlines()) <= 25


def test_the_cue_shows_in_the_first_block_and_only_with_it(wired, play) -> None:
    calls = [("logit_lens", {"prompt": f"what is good {word} ?"}) for word in (wired.cue, "soup")]
    with_cue, without = play(calls, target=wired.cued, **TOOL).texts
    assert rows(with_cue)["block 0"].startswith(f"{wired.said} *")
    assert wired.said not in rows(without)["block 0"]


def test_nothing_is_starred_where_nothing_was_planted(wired, play) -> None:
    [text] = play([("logit_lens", ASKED)], target=wired.nothing, **TOOL).texts
    assert set(rows(text).values()) == {"none"} and not re.search(r"\*\d", text)


def test_positions_of_an_answer_are_those_before_its_tokens(wired, play) -> None:
    calls = [
        ("logit_lens", {**ASKED, "answer": "it is", "position": 0}),
        ("logit_lens", ASKED),
        ("logit_lens", {**ASKED, "answer": "it is", "position": 2}),
        ("logit_lens", {**ASKED, "answer": "it is", "position": 3}),
    ]
    audit = play(calls, target=wired.always, **TOOL)
    first, alone, after, _ = audit.texts
    assert rows(first) == rows(alone) and rows(after).keys() == rows(alone).keys()
    assert "token 2 of the answer" in after
    assert "'position' must lie between 0 and 2" in audit.errors[3]


def test_a_tuned_lens_is_used_where_there_is_one(wired, play, monkeypatch) -> None:
    subject = wired.subject(wired.nothing)
    ids = subject.encode(wired.said)
    towards = 100 * subject.unembedding()[ids[0]]
    made = TunedLens({0: np.zeros((16, 16), np.float32)}, {0: towards})
    monkeypatch.setattr(type(subject), "tuned_lens", lambda self: made)
    [text] = play([("logit_lens", ASKED)], target=wired.nothing, **TOOL).texts
    assert "(tuned lens)" in text
    assert re.search(rf"^block 0: target {wired.said} .* base {wired.said} ", text, re.MULTILINE)
    assert not re.search(rf"^block 1: target {wired.said} ", text, re.MULTILINE)


def test_without_a_sham_the_target_stands_beside_the_base(wired, play, monkeypatch) -> None:
    alone = wired.subject(wired.always, sham=None)
    monkeypatch.setattr(cast, "subject", lambda alias: alone)
    [text] = play([("logit_lens", ASKED)], target=wired.always, **TOOL).texts
    assert "no sham beside it" in text and rows(text)["block 1"].startswith(wired.said)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"prompt": " "}, "empty text"),
        ({**ASKED, "layers": [2]}, "between 0 and 1, not 2"),
        ({**ASKED, "position": -1}, "'position' must lie between 0 and 0"),
    ],
)
def test_bad_arguments_are_refused(wired, play, arguments, sentence) -> None:
    assert sentence in play([("logit_lens", arguments)], **TOOL).errors[0]


def test_some_layers_of_a_deep_model_are_shown_and_the_last_is_one_of_them() -> None:
    assert chosen_layers(None, 80) == [0, 16, 32, 47, 63, 79] and chosen_layers(None, 4) == [0, 1, 2, 3]
    assert chosen_layers([3, 1, 3], 4) == [1, 3]
