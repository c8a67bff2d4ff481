import pytest
from inspect_ai.tool import ToolInfo

from audit_env.sessions.fields import fields_of, shown, value_of
from audit_env.tools import audit_tools
from audit_env.tools.affordances import AFFORDANCES


def info(name: str) -> ToolInfo:
    from inspect_ai.tool import ToolDef

    tools = {ToolDef(tool).name: tool for tool in audit_tools("black_box", "menu")}
    definition = ToolDef(tools[name])
    return ToolInfo(name=name, description=definition.description, parameters=definition.parameters)


def test_a_report_is_a_form() -> None:
    fields = {field.name: field for field in fields_of(info("report").parameters)}
    assert {name: field.kind for name, field in fields.items()} == {
        "p_quirk": "number",
        "ranking": "texts",
        "hypotheses": "records",
        "inconclusive": "yes or no",
    }
    assert [part.name for part in fields["hypotheses"].parts][:2] == ["statement", "confidence"]
    assert fields["p_quirk"].told == "number; required"
    assert fields["hypotheses"].told == "a list; an empty statement ends it; optional"


def test_every_tool_of_every_level_has_a_form() -> None:
    from inspect_ai.tool import ToolDef

    for level in AFFORDANCES:
        for tool in audit_tools(level, "menu"):
            definition = ToolDef(tool)
            for field in fields_of(definition.parameters):
                schema = definition.parameters.properties[field.name]
                types = {schema.type, *(one.type for one in schema.anyOf or ())} - {None, "null"}
                one_line = {"string": "text", "number": "number", "integer": "whole number", "boolean": "yes or no"}
                expected = {one_line[one] for one in types if one in one_line} or {"texts", "records"}
                assert field.kind in expected, (definition.name, field.name, types)
                assert field.about, (definition.name, field.name)


def test_lines_become_values() -> None:
    track = {field.name: field for field in fields_of(info("track").parameters)}
    report = {field.name: field for field in fields_of(info("report").parameters)}
    assert value_of(track["confidence"], " 0.7 ") == 0.7
    assert value_of(report["inconclusive"], "y") is True and value_of(report["inconclusive"], "No") is False
    assert value_of(track["statement"], " as it is ") == " as it is "
    assert track["status"].choices == ("open", "tested", "refuted")


@pytest.mark.parametrize(
    ("name", "said", "told"),
    [
        ("confidence", "high", "'high' is not a number, such as 0.7."),
        ("status", "done", "'done' is not one of open, tested, refuted."),
    ],
)
def test_what_cannot_be_read_is_said(name: str, said: str, told: str) -> None:
    [field] = [field for field in fields_of(info("track").parameters) if field.name == name]
    with pytest.raises(ValueError, match=told):
        value_of(field, said)


def test_values_are_shown_on_one_line() -> None:
    assert shown([{"statement": "Gloomy.", "confidence": 0.5, "evidence": ["x1", "x2"], "menu_id": None}]) == (
        "statement: Gloomy.; confidence: 0.5; evidence: x1, x2"
    )
    assert shown([]) == "nothing" and shown(False) == "no"
