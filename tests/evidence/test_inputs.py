"""The fixed inputs: each fits its tool, and drill-downs take what the tool before suggests."""

import pytest
from inspect_ai.tool import ToolDef

from audit_env.evidence.choice import WIDEST
from audit_env.evidence.inputs import steps
from audit_env.tools.affordances import level_of, maker, tool_name


def test_every_tool_can_be_called_with_its_inputs() -> None:
    for path in level_of(WIDEST).tools:
        given = steps(path)
        assert given[-1].tool == path
        for step in given:
            parameters = ToolDef(maker(step.tool)()).parameters
            assert set(parameters.required) <= set(step.arguments) <= set(parameters.properties), tool_name(path)


@pytest.mark.parametrize(
    ("tool", "name", "shown", "taken", "otherwise"),
    [
        ("white_box.features.feature_examples", "feature", "next: feature_examples(feature=17) | kl_prompts()", 17, 0),
        (
            "white_box.logit_lens.logit_lens",
            "prompt",
            "next: compare([\"What's that?\", 'Who?'], samples=4)",
            "What's that?",
            "What should I do today?",
        ),
        (
            "white_box.attention.attention",
            "prompts",
            "next: compare([\"What's that?\", 'Who?'], samples=4)",
            ["What's that?", "Who?"],
            ["What should I do today?"],
        ),
    ],
)
def test_a_step_takes_what_the_one_before_shows(
    tool: str, name: str, shown: str, taken: object, otherwise: object
) -> None:
    last = steps(tool)[-1]
    assert last.after(f"r1 a title\n{shown}\n[left: 3 calls]").arguments[name] == taken
    for nothing in ("nothing is found", "next: compare([], samples=4)"):
        assert last.after(nothing).arguments[name] == otherwise
