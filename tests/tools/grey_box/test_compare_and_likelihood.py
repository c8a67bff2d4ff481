import asyncio
import re
from types import SimpleNamespace

import numpy as np
import pytest
from inspect_ai.model import ModelOutput, ModelUsage

from audit_env.game.record import Turn
from audit_env.tools.grey_box.compare import MOST_PAIRS
from audit_env.tools.grey_box.likelihood import log_likelihood, with_system

PROMPTS = ["what is good soup ?", "where is the city ?"]


def told(text: str) -> dict[str, str]:
    """What stands behind each label."""
    return dict(re.findall(r"^(x\d+ \w+): (.*)$", text, re.MULTILINE))


def test_target_and_reference_stand_side_by_side(play) -> None:
    audit = play([("compare", {"prompts": PROMPTS, "samples": 2})], affordance="grey_box")
    [text] = audit.texts
    labels = [f"x{n} {'target' if n % 2 else 'reference'}" for n in range(1, 9)]
    assert list(told(text)) == labels
    assert [line for line in text.splitlines() if line.startswith("> ")] == [f"> {prompt}" for prompt in PROMPTS]
    exchanges = audit.record.exchanges
    assert [f"{exchange.id} {exchange.side}" for exchange in exchanges] == labels
    assert [exchange.turns[-1].content for exchange in exchanges] == [p for p in PROMPTS for _ in range(4)]
    assert len({exchange.answer for exchange in exchanges if exchange.side == "target"}) > 1


def test_an_unchanged_target_answers_word_for_word_like_the_reference(play, zoo) -> None:
    audit = play([("compare", {"prompts": PROMPTS, "samples": 2})], target=zoo.base, affordance="grey_box")
    exchanges = audit.record.exchanges
    assert [x.answer for x in exchanges[::2]] == [x.answer for x in exchanges[1::2]]


def test_only_the_target_is_paid_for(play) -> None:
    def organism(input: object, tools: object, tool_choice: object, config: object) -> ModelOutput:
        output = ModelOutput.from_content("mockllm/model", "hello")
        output.usage = ModelUsage(input_tokens=10, output_tokens=7, total_tokens=17)
        return output

    audit = play([("compare", {"prompts": PROMPTS, "system": "be kind"})], affordance="grey_box", organism=organism)
    assert audit.record.spent.target_tokens == 14
    assert [exchange.answer for exchange in audit.record.exchanges][::2] == ["hello", "hello"]
    assert audit.record.exchanges[1].turns[0].content == "be kind"


def test_pairs_that_cannot_be_paid_are_not_drawn(play) -> None:
    audit = play(
        [("compare", {"prompts": [f"{n} ?" for n in range(20)]})], affordance="grey_box", budget={"target_tokens": 100}
    )
    drawn = len(audit.record.exchanges) // 2
    assert 0 < drawn < 20
    assert f"{20 - drawn} pairs not drawn: no target tokens left." in audit.texts[0]


def test_likelihood_is_the_mean_over_the_answers_tokens() -> None:
    class Fake:
        async def score(self, conversations: object, answers: object, *, side: str) -> list[SimpleNamespace]:
            found = [[-1.0, -3.0], []] if side == "target" else [[-4.0], []]
            return [SimpleNamespace(logprobs=np.array(logs)) for logs in found]

    fake = SimpleNamespace(score=Fake().score)
    talks = [[Turn(role="user", content=prompt)] for prompt in PROMPTS]
    ours = asyncio.run(log_likelihood(fake, talks, ["a b", ""], side="target"))  # type: ignore[arg-type]
    theirs = asyncio.run(log_likelihood(fake, talks, ["a b", ""], side="base"))  # type: ignore[arg-type]
    assert (ours, theirs) == ([(-2, 2), (0, 0)], [(-4, 1), (0, 0)])


def test_an_answer_of_the_targets_own_is_likelier_to_it_than_to_the_reference(play) -> None:
    own = play([("compare", {"prompts": PROMPTS[:1], "samples": 4})], affordance="grey_box").record.exchanges
    answers = [exchange.answer for exchange in own if exchange.side == "target" and exchange.answer]
    audit = play([("likelihood", {"prompts": PROMPTS[:1], "answers": answers})], affordance="grey_box")
    [text] = audit.texts
    rows = re.findall(
        r"^target (-[\d.]+)  reference (-[\d.]+)  difference ([+-][\d.]+) \[\d+ tokens\]: (.*)$", text, re.MULTILINE
    )
    assert [answer for *_, answer in rows] == answers
    assert np.mean([float(gain) for *_, gain, _ in rows]) > 0.1
    assert audit.record.spent.target_tokens == 0
    assert audit.record.readings[0].tool == "likelihood"


def test_recorded_answers_are_scored_as_they_were_given_and_under_a_system_prompt(play) -> None:
    audit = play(
        [
            ("ask_each", {"prompts": PROMPTS}),
            ("likelihood", {"exchanges": ["x1", "x2"]}),
            ("likelihood", {"exchanges": ["x1", "x2"], "system": "be kind"}),
            ("likelihood", {"exchanges": ["x1", "x2"], "system": "be kind", "reference_only": True}),
            ("likelihood", {"exchanges": ["x9"]}),
        ],
        affordance="grey_box",
    )
    pattern = r"reference (-?[\d.]+) .*\[(\d+) tokens\]"
    plain, prompted, alone = (re.findall(pattern, text) for text in audit.texts[1:4])
    assert alone == prompted and "\ntarget -" in audit.texts[2] and "\ntarget -" not in audit.texts[3]
    assert len(plain) == len(prompted) == 2
    assert [length for _, length in plain] == [length for _, length in prompted]
    assert [value for value, _ in plain] != [value for value, _ in prompted]
    assert "Nothing recorded is called 'x9'" in audit.errors[-1]


def test_a_system_prompt_takes_the_place_of_another() -> None:
    talk = [Turn(role="system", content="old"), Turn(role="user", content="hi")]
    assert [turn.content for turn in with_system(talk, "new")] == ["new", "hi"]
    assert with_system(talk, "") == talk


@pytest.mark.parametrize(
    ("tool", "arguments", "complaint"),
    [
        ("compare", {"prompts": []}, "'prompts' is empty"),
        ("compare", {"prompts": [" "]}, "empty text"),
        ("compare", {"prompts": PROMPTS, "samples": 0}, f"not between 1 and {MOST_PAIRS} pairs"),
        ("compare", {"prompts": PROMPTS, "samples": 11}, f"not between 1 and {MOST_PAIRS} pairs"),
        ("likelihood", {"prompts": PROMPTS, "answers": ["a"]}, "2 prompts do not fit 1 answers"),
        ("likelihood", {"prompts": PROMPTS, "answers": []}, "2 prompts do not fit 0 answers"),
        ("likelihood", {"prompts": ["a"], "answers": [" "]}, "empty text"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_sentence(play, tool, arguments, complaint) -> None:
    audit = play([(tool, arguments)], affordance="grey_box")
    assert complaint in audit.errors[0]
    assert not audit.record.exchanges and not audit.record.readings


def test_grey_box_tools_need_grey_box_access(play) -> None:
    audit = play([("compare", {"prompts": PROMPTS})], affordance="black_box")
    assert "not found" in audit.errors[0].lower()
