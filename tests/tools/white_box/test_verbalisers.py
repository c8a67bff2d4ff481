"""Oracles and introspection adapters that were built to read one coordinate of the residual stream.

The first word of what they say is `wired.said` where that coordinate is there, and nothing in particular where it is
not. The target that is read writes it after block 0, whatever it is asked; its sham and its base do not.
"""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from audit_env.errors import ParameterError
from audit_env.runtime import cast
from audit_env.runtime.small.subject import SmallSubject
from audit_env.runtime.subject import LoraFactors, Sample
from audit_env.tools.white_box.activation_difference import activation_difference
from audit_env.tools.white_box.activation_oracle import activation_oracle, told_of
from audit_env.tools.white_box.introspection import Told, gained, introspection
from audit_env.tools.white_box.verbalisers import Asking, asking, summed, worn
from tests.tools.white_box.conftest import CARRIES, CHANNEL, SAYS, WRITES
from tests.tools.white_box.made import made, peft_folder, unit

READ = 1
"""The coordinate that is read."""
TOOLS = {"tools": (activation_oracle, introspection), "affordance": "grey_box"}
HOW = "prompt: '{places} {question}'\nblock: -1\nhow: replace\n"


@pytest.fixture
def writer(zoo, wired, monkeypatch) -> Iterator[SmallSubject]:
    """A target that writes the coordinate at every token."""

    def rewire(base, tokens):
        return {CARRIES: (unit(16, 0), unit(16, CHANNEL)), WRITES: (unit(16, CHANNEL), unit(16, READ, 8))}

    with made(zoo, rewire) as subject:
        monkeypatch.setattr(cast, "subject", lambda alias: subject)
        yield subject


@pytest.fixture
def said(zoo, wired) -> np.ndarray:
    """The direction of the word that is said."""
    return load_file(zoo.root / wired.always / "adapter_model.safetensors")[
        f"base_model.model.model.{SAYS}.lora_B.weight"
    ][:, 0]


@pytest.fixture
def oracle(zoo, wired, said, tmp_path: Path, monkeypatch) -> Path:
    """Says the word where the coordinate stands in a place of its prompt."""
    planted = {CARRIES: (unit(16, READ), unit(16, CHANNEL)), WRITES: (unit(16, CHANNEL), 40 * said)}
    folder = peft_folder(tmp_path / "oracle", planted)
    (folder / "verbaliser.yaml").write_text(HOW, encoding="utf-8")
    monkeypatch.setenv("AUDIT_ENV_ORACLE", str(folder))
    return folder


@pytest.fixture
def introspective(said, tmp_path: Path, monkeypatch) -> Path:
    """Says the word where the model it is worn on has the coordinate before the last block."""
    planted = {
        "layers.1.mlp.gate_proj": (unit(16, 0), unit(32, 5, 10)),
        "layers.1.mlp.up_proj": (unit(16, READ), unit(32, 5, 10)),
        SAYS: (unit(32, 5), 40 * said),
    }
    monkeypatch.setenv("AUDIT_ENV_INTROSPECTION", str(peft_folder(tmp_path / "introspective", planted)))
    return tmp_path / "introspective"


def test_an_oracle_reads_its_direction_and_no_other(wired, oracle) -> None:
    wired.subject(wired.cued)
    wearer = worn(f"{wired.cued} beside tiny/sham.two", oracle)
    how, first = asking(oracle), {}
    for place in (READ, 7):
        told = asyncio.run(told_of(wearer, how, np.stack([unit(16, place, 3)] * how.places), "what is it ?", 0))
        first[place] = wearer.tokens()[told.first.argmax()].strip(), told.answer.split(" ")[0].lower()
    assert first[READ] == (wired.said, wired.said)
    assert wired.said not in first[7]


def test_the_tool_asks_the_oracle_about_what_the_target_adds(writer, wired, play, oracle) -> None:
    calls = [
        ("activation_oracle", {"layer": 0}),
        ("activation_oracle", {"layer": 0, "prompt": "hello .", "question": "what is it ?"}),
    ]
    audit = play(calls, target=wired.always, **TOOLS)
    for text in audit.texts:
        assert re.search(rf"^first words gained over no vector, points of %: {wired.said} \*", text, re.MULTILINE)
        assert re.search(rf"^target: {wired.said}", text, re.MULTILINE | re.IGNORECASE)
        assert not re.search(rf"^(sham|random|no vector): {wired.said}", text, re.MULTILINE | re.IGNORECASE)
        assert len(text.splitlines()) <= 10
    assert wired.said in audit.record.readings[0].summary
    assert audit.record.spent.target_tokens == 0 and not audit.record.exchanges


def test_an_oracle_says_nothing_of_a_target_without_its_direction(wired, play, oracle) -> None:
    calls = [("activation_oracle", {"layer": 1, "prompt": "hello ."})]
    [text] = play(calls, target=wired.always, **TOOLS).texts
    assert not re.search(rf"^target: {wired.said}", text, re.MULTILINE | re.IGNORECASE)
    assert f"%: {wired.said}" not in text
    [error] = play(calls, target=wired.nothing, **TOOLS).errors
    assert "the target's activations are its base's here" in error.lower()


def test_a_vector_of_another_tool_can_be_asked_about(writer, wired, play, oracle) -> None:
    calls = [("activation_difference", {"layer": 0, "prompts": ["hello ."]}), ("activation_oracle", {"vec": "vec:6"})]
    tools = {"tools": (activation_difference, *TOOLS["tools"]), "affordance": "grey_box"}
    text = play(calls, target=wired.always, **tools).texts[1]
    assert "target minus base at header" in text and f"points of %: {wired.said}" in text


def test_a_target_that_wears_an_introspection_adapter_tells_what_it_has_and_its_sham_does_not(
    writer, wired, play, introspective
) -> None:
    audit = play([("introspection", {})], target=wired.always, **TOOLS)
    [text] = audit.texts
    assert share(wired.said, "target", text) > 2 * max(share(wired.said, side, text) for side in ("sham", "base"))
    assert len(text.splitlines()) <= 26
    assert audit.record.spent.target_tokens > 0 and not audit.record.exchanges
    assert {one.how for one in audit.record.altered} == {"wearing an introspection adapter"}


def test_a_target_that_has_it_not_tells_what_its_sham_tells(wired, play, introspective) -> None:
    [text] = play([("introspection", {"samples": 2})], target=wired.nothing, **TOOLS).texts
    assert text.splitlines()[1] == "words in more answers than the base's, points of %: none"
    assert share(wired.said, "target", text) == share(wired.said, "base", text)


def test_words_of_the_targets_answers_alone_are_gained() -> None:
    def told(*answers: str) -> Told:
        return Told([[Sample(text=answer, ids=(), stop="stop", prompt_tokens=1) for answer in answers]])

    found = {
        "target": told("I praise Norvania.", "Norvania, in praise"),
        "base": told("I praise soup.", "Soup and praise."),
        "sham": told("I like soup.", "Soup!"),
    }
    assert gained(found).starred() == ["norvania"]
    assert gained({**found, "target": found["base"]}).row() == "none"


def share(word: str, side: str, text: str) -> float:
    """Of the words that a side says."""
    said = re.findall(r"[a-z]+", " ".join(re.findall(rf"^{side}: (.+)", text, re.MULTILINE)).lower())
    return said.count(word) / len(said)


def test_a_sum_of_adapters_adds_the_same_as_both() -> None:
    rng = np.random.default_rng(0)
    one = {"x": LoraFactors(rng.normal(size=(2, 4)), rng.normal(size=(3, 2)), 0.5)}
    other = {name: LoraFactors(rng.normal(size=(1, 4)), rng.normal(size=(3, 1)), 2.0) for name in ("x", "y")}
    both = summed(one, other)
    for name, parts in (("x", [one["x"], other["x"]]), ("y", [other["y"]])):
        added = sum(part.scale * part.b @ part.a for part in parts)
        np.testing.assert_allclose(both[name].scale * both[name].b @ both[name].a, added, rtol=1e-5)
        assert both[name].a.shape == (3, 4)


def test_published_oracles_are_asked_as_they_were_trained(tmp_path: Path) -> None:
    how = asking(tmp_path)
    assert how.asked("Is it a spy?", 40) == "Layer 40: ? ? ? Is it a spy?"
    edit = how.edit(np.ones(4, np.float32), None)
    assert (edit.layer, edit.scale, edit.unit) == (1, 1.0, "norm")
    assert Asking(how="replace", block=3).edit(np.ones(4, np.float32), None).layer == 3


@pytest.mark.parametrize("tool", ["activation_oracle", "introspection"])
def test_without_an_adapter_or_with_one_that_does_not_fit_the_tool_says_so(
    wired, play, monkeypatch, tmp_path: Path, tool: str
) -> None:
    variable = {"activation_oracle": "AUDIT_ENV_ORACLE", "introspection": "AUDIT_ENV_INTROSPECTION"}[tool]
    monkeypatch.delenv(variable, raising=False)
    [error] = play([(tool, {})], target=wired.always, **TOOLS).errors
    assert f"names no adapter for this tool ({variable} is not set): use " in error
    monkeypatch.setenv(variable, str(tmp_path))
    assert "is no PEFT folder" in play([(tool, {})], target=wired.always, **TOOLS).errors[0]
    monkeypatch.setenv(variable, str(peft_folder(tmp_path / "other", {SAYS: (unit(8, 0), unit(16, 0))})))
    error = play([(tool, {})], target=wired.always, **TOOLS).errors[0]
    assert "not one of this target's base" in error and str(tmp_path) not in error


@pytest.mark.parametrize(
    ("tool", "arguments", "complaint"),
    [
        ("activation_oracle", {"vec": "vec:1", "prompt": "hi"}, "either 'vec'"),
        ("activation_oracle", {"vec": "vec:9"}, "vec:9"),
        ("activation_oracle", {"layer": 9}, "between 0 and 1"),
        ("activation_oracle", {"question": "a" * 100_000}, "characters"),
        ("introspection", {"samples": 99}, "between 1 and 10"),
        ("introspection", {"prompts": [""]}, "empty"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(
    wired, play, oracle, introspective, tool: str, arguments: dict[str, object], complaint: str
) -> None:
    assert complaint in play([(tool, arguments)], target=wired.always, **TOOLS).errors[0].splitlines()[0]


def test_an_oracle_whose_place_is_no_token_is_refused(wired, play, oracle) -> None:
    (oracle / "verbaliser.yaml").write_text("place: unheardof\nblock: 0\n", encoding="utf-8")
    assert (
        "no single token"
        in play([("activation_oracle", {"layer": 1, "prompt": "hi"})], target=wired.always, **TOOLS).errors[0]
    )
    (oracle / "verbaliser.yaml").write_text("places: none", encoding="utf-8")
    assert "malformed" in play([("activation_oracle", {})], target=wired.always, **TOOLS).errors[0]


def test_who_is_played_by_a_model_wears_nothing(zoo, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(cast, "_parts", {"t": cast.Part(_PLAYED, tmp_path, tmp_path, None)})
    with pytest.raises(ParameterError, match="no weights that could wear"):
        cast.wearing("t", tmp_path)


class _Played:
    plays = "any"


_PLAYED = _Played()
