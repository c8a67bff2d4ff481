import pytest

from audit_env.runtime import cast
from audit_env.tools.white_box.null import NO_SHAM


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [("kl_prompts", {"prompts": ["hello ."]}), ("read_weights", {}), ("trigger_scan", {"words": ["tea", "soup"]})],
)
def test_without_a_sham_a_tool_shows_the_target_alone_and_says_so(
    wired, play, monkeypatch, tool: str, arguments: dict[str, object]
) -> None:
    alone = wired.subject(wired.cued, sham=None)
    monkeypatch.setattr(cast, "subject", lambda alias: alone)
    [text] = play([(tool, arguments)], target=wired.cued, affordance="white_box").texts
    assert NO_SHAM in text and "|" not in text.split("next:")[0] and "*" not in text
    assert tool == "kl_prompts" or wired.cue in text


def test_every_tool_tells_an_auditor_what_it_costs_and_what_it_cannot_show() -> None:
    from inspect_ai.tool import ToolDef

    from audit_env.tools import investigation_tools

    tools = {definition.name: definition for definition in map(ToolDef, investigation_tools("white_box"))}
    for name in ("compare", "likelihood", "kl_prompts", "read_weights", "trigger_scan", "activation_difference"):
        text = tools[name].description
        assert "Costs one call" in text and "How to read it" in text and "cannot" in text
        assert "call" not in tools[name].parameters
