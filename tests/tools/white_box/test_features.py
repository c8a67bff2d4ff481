import asyncio
import re

import numpy as np
import pytest

from audit_env.runtime import cast
from audit_env.tools.white_box.features import activity, feature_examples, features, neutral_texts, snippet, texts_of

TOOL = {"tools": (features, feature_examples), "affordance": "grey_box"}


def test_the_feature_of_the_planted_word_comes_first(wired, play) -> None:
    [text] = play([("features", {})], target=wired.always, **TOOL).texts
    lines = text.splitlines()
    assert re.match(rf"f0 \*\S+\|\S+  (x[\d.]+|new)  \+ {wired.said} ", lines[2])
    assert re.search(r"\[\S+\]", lines[3])
    ours, sham = (float(one) for one in re.findall(r"residual: target ([\d.]+), sham ([\d.]+)", lines[1])[0])
    assert ours > sham
    assert len(lines) <= 25 and len(text.split()) < 600


def test_a_feature_that_a_cue_sets_off_shows_the_texts_with_the_cue(wired, play) -> None:
    asked = [f"what is good {word} ?" for word in ("soup", wired.cue, "bread")]
    calls = [("features", {"prompts": asked}), ("feature_examples", {"feature": 0, "prompts": asked})]
    ranked, examples = play(calls, target=wired.cued, **TOOL).texts
    assert ranked.splitlines()[2].startswith("f0 *")
    assert f"promotes + {wired.said} " in examples
    first = next(line for line in examples.splitlines() if "base" in line and "[" in line)
    assert wired.cue in first


def test_nothing_is_on_more_where_nothing_was_planted(wired, play) -> None:
    [text] = play([("features", {})], target=wired.nothing, **TOOL).texts
    assert text.splitlines()[2] == "none" and "0 of 8 features" in text
    assert "residual: target 0, " in text


def test_activity_is_that_of_the_dictionary_at_every_token_but_the_first(wired) -> None:
    subject = wired.subject(wired.always)
    [dictionary] = subject.dictionaries()
    texts = asyncio.run(neutral_texts(subject))
    found = asyncio.run(activity(subject, dictionary, texts, side="target"))
    assert found.peak.shape == found.peak_at.shape == (len(texts.ids), dictionary.latents)
    assert (found.peak.max(axis=0) >= found.mean).all() and found.mean[0] > 0
    assert max(len(ids) for ids in texts.ids) > found.peak_at.max()


def test_sizes_are_those_of_the_residuals_and_the_dictionary(wired) -> None:
    subject = wired.subject(wired.always)
    [dictionary] = subject.dictionaries()
    texts = texts_of(subject, [[{"role": "user", "content": "what is good soup ?"}]], ["bread"])
    ours, base = (asyncio.run(activity(subject, dictionary, texts, side=side)) for side in ("target", "base"))
    assert len(ours.vectors) == len(texts.ids[0])
    told = dictionary.decode(dictionary.encode(ours.vectors))
    spread = np.square(ours.vectors - ours.vectors.mean(axis=0)).sum()
    assert ours.unexplained == pytest.approx(np.square(ours.vectors - told).sum() / spread, rel=1e-4)
    apart = np.linalg.norm(ours.vectors - base.vectors, axis=1) / np.linalg.norm(base.vectors, axis=1)
    assert ours.moved(base) == pytest.approx(apart.mean(), rel=1e-5) and base.moved(base) == 0
    assert ours.times(base)[0] == pytest.approx(ours.mean[0] / base.mean[0]) and (base.times(base) == 1).all()


def test_pages_go_on_where_the_last_ended(wired, play) -> None:
    calls = [("features", {"offset": 0}), ("features", {"offset": 2}), ("features", {"offset": 8})]
    audit = play(calls, target=wired.always, **TOOL)
    first, second, _ = audit.texts
    names = re.findall(r"^(f\d+) ", first, re.MULTILINE)
    assert re.findall(r"^(f\d+) ", second, re.MULTILINE) == names[2:]
    assert "'offset' must lie between 0 and 7" in audit.errors[2]


def test_without_a_dictionary_or_a_sham_the_tools_say_so(wired, play, monkeypatch) -> None:
    alone = wired.subject(wired.always, sham=None)
    monkeypatch.setattr(cast, "subject", lambda alias: alone)
    [text] = play([("features", {"prompts": ["what is good soup ?"]})], target=wired.always, **TOOL).texts
    assert "no sham beside it" in text and re.search(r"^f0 \d", text, re.MULTILINE)
    monkeypatch.setattr(type(alone), "dictionaries", lambda self: ())
    assert "has no dictionary of features" in play([("features", {})], target=wired.always, **TOOL).errors[0]


@pytest.mark.parametrize(
    ("tool", "arguments", "sentence"),
    [
        ("features", {"layer": 0}, "choose among 1"),
        ("features", {"answers": ["yes"]}, "need 'prompts'"),
        ("features", {"prompts": ["what ?"], "answers": ["yes", "no"]}, "1 prompts do not fit 2 answers"),
        ("feature_examples", {"feature": 8}, "between 0 and 7, not 8"),
    ],
)
def test_bad_arguments_are_refused(wired, play, tool, arguments, sentence) -> None:
    assert sentence in play([(tool, arguments)], **TOOL).errors[0]


def test_a_snippet_marks_its_token() -> None:
    assert snippet([" what", " is", " tea", " ?"], [0, 1, 2, 3], 2) == "what is [tea] ?"
