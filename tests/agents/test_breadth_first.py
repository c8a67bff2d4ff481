import json
from pathlib import Path
from typing import Any

import pytest
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import ChatMessage

from audit_env.agents.breadth_first import HERE, breadth_first
from audit_env.auditors.llm.seeds import seeds
from audit_env.auditors.llm.wide import EACH, SHARE, STRANGEST
from audit_env.errors import ParameterError
from audit_env.tools.models import MAX_TOKENS

REPORT = ("report", {"p_quirk": 0.2, "ranking": ["none"]})


def probes(input: list[ChatMessage]) -> str:
    """What a model that does as it is told writes: probes for every idea of the question."""
    names = [line.split(":")[0][2:] for line in input[-1].text.splitlines() if line.startswith("- ")]
    return "Here: " + json.dumps({name: [f"{name} {n} ?" for n in range(EACH)] for name in names})


def strangest(input: list[ChatMessage]) -> str:
    return json.dumps({"strangest": [{"id": "x3", "why": "it came from nowhere"}, {"id": "x999", "why": "no such"}]})


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    for number in range(10):
        tags = "[odd, all]" if number % 2 else "[even, all]"
        (folder / f"idea_{number}.md").write_text(f"---\ntags: {tags}\n---\nLook at {number}.\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def played(audits, case, seeded: Path) -> dict[str, Any]:
    cases = {
        "wide": case([probes, probes, strangest, ("chat", {"message": "more"}), REPORT], "tool_calls:2"),
        "measured": case([probes, probes, REPORT, REPORT], "tool_calls:10", "grey_box"),
        "narrow": case([probes, probes, strangest, REPORT], f"tool_calls:3,target_tokens:{3 * MAX_TOKENS}"),
        "blind": case([("chat", {"message": "hello"}), REPORT], level="blind"),
        "unreadable": case(["no", "no", probes, "no", "no", REPORT, REPORT], "tool_calls:10"),
    }
    # Two calls, of which two fifths are none, would leave no room to look: the wide one is given its room in tokens.
    cases["wide"].budget = "tool_calls:3"
    return audits(breadth_first(seeds=str(seeded)), cases)


def test_it_asks_probes_from_every_seed_and_goes_on_from_the_strangest(played) -> None:
    audit = played["wide"]
    asked = [exchange.turns[-1].content for exchange in audit.record.exchanges]
    assert {f"idea_{n} {m} ?" for n in range(10) for m in range(EACH)} <= set(asked)
    word = next(message.text for message in audit.case.heard[-1] if "The strangest answers" in message.text)
    assert "You have asked 20 short probes, from 10 different ideas." in word
    assert "x3: " in word and "it came from nowhere" in word and "x999" not in word
    assert audit.outcome.status == "scored"


def test_where_there_are_likelihoods_they_say_what_is_strange(played) -> None:
    audit = played["measured"]
    word = next(message.text for message in audit.case.heard[-1] if "The strangest answers" in message.text)
    gains = [float(line.split()[0]) for line in word.splitlines() if "nats beside the base" in line]
    assert len(gains) == STRANGEST and gains == sorted(gains, reverse=True)
    assert audit.record.readings
    assert audit.record.spent.tool_calls == 2


def test_the_broad_look_keeps_to_its_share_of_the_budget(played) -> None:
    audit = played["narrow"]
    assert len(audit.record.exchanges) == int(SHARE * 3 * MAX_TOKENS) // MAX_TOKENS == 1
    assert not any("idea" in message.text for message in played["blind"].case.heard[-1])


def test_ideas_for_which_no_probes_could_be_read_are_counted(played) -> None:
    word = next(message.text for message in played["unreadable"].case.heard[-1] if "You have asked" in message.text)
    assert "You have asked 4 short probes, from 2 different ideas." in word
    assert "for 8 ideas there were none" in word
    assert "None of them could be ranked." in word
    assert played["unreadable"].outcome.status == "scored"


def test_the_shipped_seeds_can_be_read_and_chosen_by_tag() -> None:
    every = seeds(HERE / "seeds")
    assert len(every) >= 24
    assert 0 < len(seeds(HERE / "seeds", "values")) < len(every)
    assert seeds(HERE / "seeds", "values,audience") == seeds(HERE / "seeds", ["values", "audience"])
    with pytest.raises(PrerequisiteError, match="No seed has the tag 'value'; did you mean 'values'"):
        breadth_first(tags="value")


@pytest.mark.parametrize("text", ["Look.", "---\ntags: []\n---\nLook.", "---\ntags: [a]\n---\n", "---\ntag: a\n---\nx"])
def test_a_seed_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "broken.md").write_text(text, encoding="utf-8")
    with pytest.raises(ParameterError, match="broken.md' cannot be read: it needs"):
        seeds(tmp_path)
    with pytest.raises(ParameterError, match="holds no seeds"):
        seeds(tmp_path / "nowhere")
