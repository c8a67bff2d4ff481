import pytest

from audit_env.runtime import cast


@pytest.mark.parametrize("tool", ["kl_prompts", "read_weights", "trigger_scan"])
def test_without_a_sham_a_tool_says_so_before_it_spends_the_targets_tokens(wired, play, monkeypatch, tool) -> None:
    alone = wired.subject(wired.always, sham=None)
    monkeypatch.setattr(cast, "subject", lambda alias: alone)
    audit = play([(tool, {})], target=wired.always, affordance="white_box")
    sentence, left = audit.errors[0].splitlines()
    assert "cannot give 'sham'" in sentence and "when the game set names a reference sham" in sentence
    assert left.startswith("[left: 59 of 60 calls, 8,000 of 8,000 target tokens")
    assert wired.always not in audit.errors[0]
    assert not audit.record.readings and not audit.record.exchanges


def test_every_tool_tells_an_auditor_what_it_costs_and_what_it_cannot_show() -> None:
    from inspect_ai.tool import ToolDef

    from audit_env.tools import investigation_tools

    tools = {definition.name: definition for definition in map(ToolDef, investigation_tools("white_box"))}
    for name in ("compare", "likelihood", "kl_prompts", "read_weights", "trigger_scan", "activation_difference"):
        text = tools[name].description
        assert "Costs one call" in text and "How to read it" in text and "cannot" in text
        assert "call" not in tools[name].parameters
