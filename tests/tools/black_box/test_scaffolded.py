import json
from typing import Any

import pytest
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.tool import ToolError

from audit_env.errors import ParameterError
from audit_env.tools.black_box import scaffolded_chat, scaffolded_completion, scaffolded_prefill, scaffolded_user
from audit_env.tools.black_box.scaffolded import inputs
from audit_env.tools.black_box.scaffolded.inputs import Asked, Begun, from_bank, helper, nearest_prompts, parsed

TOOLS = (scaffolded_chat, scaffolded_prefill, scaffolded_completion, scaffolded_user)
HINT = {"hint": "does it favour a country when asked about travel?", "batch": 3}


def outputs(texts: list[str]) -> list[ModelOutput]:
    made = [ModelOutput.from_content("mockllm/model", text) for text in texts]
    for output in made:
        output.usage = ModelUsage(input_tokens=90, output_tokens=10, total_tokens=100)
    return made


@pytest.fixture
def helper_says(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Binds a helper that says these texts in order."""

    def says(*texts: str) -> None:
        model = get_model("mockllm/model", custom_outputs=outputs(list(texts)))
        monkeypatch.setattr(inputs, "helper", lambda: model)

    return says


def test_a_helper_writes_inputs_and_its_tokens_are_the_auditors(play, helper_says) -> None:
    helper_says(
        json.dumps([{"prompt": "good soup ?", "system": "be kind"}, {"prompt": "the rain"}]),
        "```json\n" + json.dumps([{"prompt": "hello", "beginning": "yes ", "system": ""}]) + "\n```",
        json.dumps([{"text": "a good song"}, {"text": "the train"}] * 2),
        json.dumps([{"system": "be wise"}, {"system": "", "user": "hello", "assistant": "fine"}]),
        "Here are your prompts: 1. good soup",
    )
    names = [maker.__name__ for maker in TOOLS]
    audit = play([(name, HINT) for name in [*names, names[0]]], tools=TOOLS)
    chat, prefill, completion, user = audit.texts[:4]
    assert chat.startswith("2 inputs written by the helper model\n> [system: be kind] good soup ?\nx1: ")
    assert "\n> hello\nx3: [yes] " in prefill
    assert "\n> a good song\nx4: " in completion
    assert completion.count("> ") == 2
    assert "\n> be wise\nx6: " in user and "\n> fine\nx7: " in user
    assert audit.record.exchanges[2].prefill == "yes"
    assert [turn.role for turn in audit.record.exchanges[6].turns] == ["user", "assistant"]
    assert "The helper model wrote no usable inputs" in audit.errors[4]
    assert len(audit.record.exchanges) == 7
    assert audit.record.spent.auditor_tokens >= 500


def test_without_a_model_the_prompt_bank_answers_the_hint(play) -> None:
    audit = play(
        [*((maker.__name__, HINT) for maker in TOOLS), ("scaffolded_chat", {"hint": " "})]
        + [("scaffolded_chat", {"hint": "x" * 3000}), ("scaffolded_chat", {"hint": "x", "batch": 21})],
        tools=TOOLS,
    )
    assert all(text.startswith("3 inputs picked from the prompt bank") for text in audit.texts[:4])
    assert all(text.count("\n> ") == 3 for text in audit.texts[:4])
    assert all(len(text.splitlines()) <= 25 for text in audit.texts)
    for error, complaint in zip(
        audit.errors[4:], ["'hint' is empty", "at most 2,000", "between 1 and 20"], strict=True
    ):
        assert complaint in error


def test_the_bank_gives_what_is_near_the_hint_first_and_then_all_topics_in_turn() -> None:
    near = [prompt.text for prompt in nearest_prompts("which planet is biggest", 3)]
    assert near[0] == "Which planet is the biggest?"
    assert len({prompt.topic for prompt in nearest_prompts("zzz", 19)}) == 19
    for kind, fields in (
        ("chat", {"prompt"}),
        ("prefill", {"prompt", "beginning"}),
        ("completion", {"text"}),
        ("user", {"system"}),
    ):
        made = from_bank(kind, "planets", 20)  # type: ignore[arg-type]
        assert len(made) == 20 == len({json.dumps(one) for one in made})
        assert all(set(one) == fields for one in made)


@pytest.mark.parametrize(
    "text",
    ["", "no list", "[]", '{"prompt": "a"}', '[{"prompt": ""}]', '[{"prompt": "a", "why": "b"}]', '["a"]', "[" * 50],
)
def test_what_a_helper_wrote_is_read_strictly(text: str) -> None:
    with pytest.raises(ToolError, match="The helper model wrote"):
        parsed(text, Asked)


def test_the_same_input_twice_is_asked_once() -> None:
    one = {"prompt": "a", "beginning": "b"}
    assert parsed(json.dumps([one, one]), Begun) == (Begun(prompt="a", beginning="b"),)


def test_the_target_is_never_the_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "model_roles", lambda: {"helper": None})
    monkeypatch.setattr(inputs, "get_model", lambda role: "organism/fruitfly/base")
    with pytest.raises(ParameterError, match="an organism cannot be the helper"):
        helper()
    monkeypatch.setattr(inputs, "model_roles", dict)
    assert helper() is None
