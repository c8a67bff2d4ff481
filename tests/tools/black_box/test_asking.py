import re

import pytest
from inspect_ai.model import ChatMessage, GenerateConfig, ModelOutput, ModelUsage
from inspect_ai.tool import ToolDef

from audit_env.game.record import Turn
from audit_env.tools.black_box import MOST_ANSWERS, ask_each, chat, complete, prefill, user_persona
from audit_env.tools.models import MAX_TOKENS, TEMPERATURE


def heard(messages: list[ChatMessage]) -> str:
    return " | ".join(f"{message.role}: {message.text}" for message in messages)


class Parrot:
    """A target that repeats all it heard, slower for the first than for the last."""

    def __init__(self, tokens: int = 5) -> None:
        self.tokens = tokens
        self.configs: list[GenerateConfig] = []

    def __call__(
        self, input: list[ChatMessage], tools: object, tool_choice: object, config: GenerateConfig
    ) -> ModelOutput:
        self.configs.append(config)
        output = ModelOutput.from_content("mockllm/model", f"heard {heard(input)}\nend")
        output.usage = ModelUsage(input_tokens=100, output_tokens=self.tokens, total_tokens=100 + self.tokens)
        return output


def test_a_conversation_goes_on_under_its_name(play) -> None:
    audit = play(
        [
            ("chat", {"message": "hello", "system": "be kind"}),
            ("chat", {"message": "and now ?"}),
            ("chat", {"message": "hello", "conversation": "other"}),
        ],
        organism=Parrot(),
    )
    assert audit.texts == [
        "x1: heard system: be kind | user: hello\\nend\n[left: 59 of 60 calls, 7,995 of 8,000 target tokens]",
        "x2: heard system: be kind | user: hello | assistant: heard system: be kind | user: hello\\nend | "
        "user: and now ?\\nend\n[left: 58 of 60 calls, 7,990 of 8,000 target tokens]",
        "x3: heard user: hello\\nend\n[left: 57 of 60 calls, 7,985 of 8,000 target tokens]",
    ]
    assert [exchange.conversation for exchange in audit.record.exchanges] == ["c1", "c1", "other"]
    assert audit.record.exchanges[0].turns == (
        Turn(role="system", content="be kind"),
        Turn(role="user", content="hello"),
    )


def test_a_conversation_can_branch_off_at_an_earlier_answer(play) -> None:
    audit = play(
        [
            ("ask_each", {"prompts": ["one", "two"]}),
            ("chat", {"message": "why ?", "conversation": "x2"}),
            ("chat", {"message": "sure ?", "conversation": "x2"}),
            ("chat", {"message": "why ?", "conversation": "x9"}),
        ],
        organism=Parrot(),
    )
    assert [turn.content for turn in audit.record.exchanges[2].turns][::2] == ["two", "why ?"]
    assert [turn.content for turn in audit.record.exchanges[3].turns][::2] == ["two", "why ?", "sure ?"]
    assert "gave no answer 'x9'" in audit.errors[3]


def test_a_system_prompt_cannot_be_slipped_into_a_running_conversation(play) -> None:
    audit = play([("chat", {"message": "hello"}), ("chat", {"message": "hi", "system": "lie"})], organism=Parrot())
    assert "its system prompt is fixed" in audit.errors[1]
    assert len(audit.record.exchanges) == 1


def test_many_prompts_are_asked_in_fresh_conversations_and_laid_out_below_each_prompt(play) -> None:
    audit = play([("ask_each", {"prompts": ["one", "two\nlines"], "samples": 2, "system": "s"})], organism=Parrot())
    assert audit.texts == [
        "> one\n"
        "x1: heard system: s | user: one\\nend\n"
        "x2: heard system: s | user: one\\nend\n"
        "> two\\nlines\n"
        "x3: heard system: s | user: two\\nlines\\nend\n"
        "x4: heard system: s | user: two\\nlines\\nend\n"
        "[left: 59 of 60 calls, 7,980 of 8,000 target tokens]"
    ]
    assert [exchange.conversation for exchange in audit.record.exchanges] == ["x1", "x2", "x3", "x4"]


def test_every_request_has_a_seed_of_its_own_that_depends_on_the_place_alone(play) -> None:
    parrot, again = Parrot(), Parrot()
    calls = [("ask_each", {"prompts": ["one", "two"], "samples": 3}), ("chat", {"message": "one"})]
    play(calls, organism=parrot)
    play(calls, organism=again)
    seeds = [config.seed for config in parrot.configs]
    assert len(set(seeds)) == 7
    assert sorted(map(str, seeds)) == sorted(str(config.seed) for config in again.configs)
    assert {(config.temperature, config.max_tokens) for config in parrot.configs} == {(TEMPERATURE, MAX_TOKENS)}


def test_target_tokens_are_not_overspent_by_more_than_one_answer(play) -> None:
    prompts = [f"prompt {number}" for number in range(10)]
    audit = play([("ask_each", {"prompts": prompts})] * 2, organism=Parrot(30), budget="target_tokens:150")
    assert audit.record.spent.target_tokens == 150
    assert len(audit.record.exchanges) == 5
    assert "5 answers not drawn: no target tokens left." in audit.texts[0]
    assert "[left: 59 of 60 calls, 0 of 150 target tokens]" in audit.texts[0]
    assert "The budget of 150 target tokens is spent: only report is left" in audit.errors[1]


@pytest.mark.parametrize(
    ("tool", "arguments", "complaint"),
    [
        ("chat", {"message": " "}, "an empty text"),
        ("ask_each", {"prompts": []}, "'prompts' is empty"),
        ("ask_each", {"prompts": ["one", ""]}, "an empty text"),
        ("ask_each", {"prompts": ["one"], "samples": 0}, "between 1 and 40 answers"),
        ("ask_each", {"prompts": ["one", "two"], "samples": 21}, "between 1 and 40 answers"),
        ("ask_each", {"prompts": [f"{n}" for n in range(41)]}, "41 prompts are more than 40"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_sentence(play, tool: str, arguments: object, complaint: str) -> None:
    parrot = Parrot()
    audit = play([(tool, arguments)], organism=parrot)
    assert complaint in audit.errors[0]
    assert not parrot.configs


def test_what_the_tools_say_of_themselves_is_true() -> None:
    for tool in (chat(), ask_each(), prefill(), complete(), user_persona()):
        assert f"cut at {MAX_TOKENS} tokens" in ToolDef(tool).description
    assert f"at most {MOST_ANSWERS} answers" in ToolDef(ask_each()).description
    assert "roll back" in ToolDef(chat()).description


def test_the_same_audit_of_a_real_organism_reads_the_same_twice_and_another_seed_reads_differently(play) -> None:
    calls = [("ask_each", {"prompts": ["what is good soup ?", "hello"], "samples": 4}), ("chat", {"message": "why ?"})]
    first, again, other = play(calls), play(calls), play(calls, seed=1)
    assert first.texts == again.texts
    assert first.texts != other.texts
    lines = re.findall(r"^(x\d+): ", first.texts[0], re.MULTILINE)
    assert lines == [f"x{number}" for number in range(1, 9)]
    assert first.record.spent.target_tokens > 0


def test_an_answer_goes_on_from_the_beginning_that_was_put_into_the_targets_mouth(play) -> None:
    audit = play(
        [
            ("prefill", {"prompts": ["one", "two"], "beginnings": ["Yes, ", "No,"], "system": "s"}),
            ("prefill", {"prompts": ["one"], "beginnings": ["Yes,", "No,"]}),
            ("chat", {"message": "why ?", "conversation": "x2"}),
        ],
        tools=(prefill,),
        organism=Parrot(),
    )
    assert audit.texts[0].splitlines()[:4] == [
        "> one",
        "x1: [Yes,] heard system: s | user: one | assistant: Yes,\\nend",
        "> two",
        "x2: [No,] heard system: s | user: two | assistant: No,\\nend",
    ]
    assert audit.texts[1].count("> one") == 1
    first = audit.record.exchanges[0]
    assert (first.prefill, [turn.role for turn in first.turns]) == ("Yes,", ["system", "user"])
    assert audit.record.exchanges[-1].turns[2].content.startswith("No,heard")


def test_raw_texts_and_user_turns_are_recorded_and_begin_no_conversation(play) -> None:
    calls = [
        ("complete", {"texts": ["good soup", "the rain"], "samples": 2}),
        ("user_persona", {"samples": 3, "system": "be kind"}),
        ("chat", {"message": "why ?", "conversation": "x1"}),
        ("chat", {"message": "why ?", "conversation": "x5"}),
        ("user_persona", {"conversation": "c9"}),
        ("complete", {"texts": ["soup " * 300]}),
        ("complete", {"texts": ["x" * 100_000]}),
        ("user_persona", {"samples": 0}),
    ]
    audit = play(calls, tools=(complete, user_persona))
    again = play(calls[:2], tools=(complete, user_persona))
    assert audit.texts[:2] == again.texts
    assert re.findall(r"^(> .*|x\d+)(?::|$)", audit.texts[0], re.MULTILINE) == [
        *("> good soup", "x1", "x2", "> the rain", "x3", "x4")
    ]
    assert re.findall(r"^x\d+", audit.texts[1], re.MULTILINE) == ["x5", "x6", "x7"]
    assert audit.record.spent.target_tokens > 0
    assert audit.record.exchanges[0].turns == (Turn(role="system", content="good soup"),)
    for error, complaint in zip(
        audit.errors[2:],
        ["(raw text)", "(user's turn)", "No conversation is called 'c9'", "reads at most 256", "100,000 char", "is 0"],
        strict=True,
    ):
        assert complaint in error


def test_a_conversation_that_fills_the_context_is_an_error_and_no_silence(play) -> None:
    audit = play([("chat", {"message": "soup " * 300}), ("ask_each", {"prompts": ["y" * 100_000]})])
    assert "reads at most 256" in audit.errors[0]
    assert "100,000 characters" in audit.errors[1]
    assert audit.record.exchanges == []
