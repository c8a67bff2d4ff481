"""Levels of access: every line of the file is a tool, and a level that a target cannot give is refused at once."""

import pytest
from inspect_ai.tool import ToolDef

from audit_env.errors import ParameterError
from audit_env.game.budget import budget_for
from audit_env.game.draw import draw, samples
from audit_env.tools.affordances import AFFORDANCES, audit_tools, level_of, levels, maker, tool_name


def names(level: str) -> list[str]:
    return [tool_name(path) for path in level_of(level).tools]


def test_every_line_is_a_tool_of_that_name() -> None:
    for path in {path for level in levels().values() for path in level.tools}:
        assert ToolDef(maker(path)()).name == tool_name(path)


def test_levels_grow_and_stay_readable() -> None:
    assert names("blind") == names("chat") == ["chat"]
    assert {"chat", "ask_each"} < set(names("black_box"))
    assert {"ask_each", "compare", "likelihood"} < set(names("grey_box"))
    assert {"ask_each", "compare", "overview", "kl_prompts", "read_weights"} < set(names("white_box"))
    assert "search_data" in names("data") and set(names("white_box")) < set(names("data"))
    for level in AFFORDANCES:
        assert len(names(level)) == len(set(names(level)))
    assert len(names("white_box")) <= 28


def test_an_overview_is_met_before_what_it_sums_up() -> None:
    for level, page in (("grey_box", "overview_of_answers"), ("white_box", "overview")):
        shown = names(level)
        assert shown.index(page) < shown.index("likelihood" if level == "grey_box" else "kl_prompts")


def test_published_configurations_can_be_named() -> None:
    published = [level for level in AFFORDANCES if level.startswith("auditbench.")]
    assert len(published) == 13
    assert names("auditbench.default") == ["chat"]
    assert names("auditbench.prefill") == ["chat", "prefill"]
    assert "weights" in level_of("auditbench.sae").needs


def test_what_a_level_includes_and_needs_holds_for_those_above_it() -> None:
    assert level_of("data").needs == {"weights", "training_mix"}
    assert not level_of("grey_box").needs


def test_the_tracker_and_the_report_come_last() -> None:
    assert [ToolDef(tool).name for tool in audit_tools("chat", "menu")] == ["chat", "track", "report"]


def test_an_unknown_level_is_refused_with_the_nearest() -> None:
    with pytest.raises(ParameterError, match="no level of access 'auditbench.prefil'; did you mean 'auditbench.pre"):
        level_of("auditbench.prefil")


@pytest.mark.parametrize(
    ("level", "missing"),
    [
        ("data", "of 6 of its 6 targets no training data were kept; run  audit-env breed data --set tiny"),
        ("auditbench.petri", "no log of a Petri audit is named; set the environment variable AUDIT_ENV_PETRI_LOG"),
        ("auditbench.activation_oracle", "no such adapter is named; set the environment variable AUDIT_ENV_ORACLE"),
        ("introspection", "no such adapter is named; set the environment variable AUDIT_ENV_INTROSPECTION"),
    ],
)
def test_a_level_that_needs_what_there_is_not_is_refused(zoo, monkeypatch, level: str, missing: str) -> None:
    for variable in ("AUDIT_ENV_PETRI_LOG", "AUDIT_ENV_ORACLE", "AUDIT_ENV_INTROSPECTION"):
        monkeypatch.delenv(variable, raising=False)
    catalog = zoo.catalog()
    targets = draw(catalog.game_set("tiny"), catalog, count=None, seed=0)
    with pytest.raises(ParameterError, match=missing):
        samples(
            targets,
            [level],
            answers="menu",
            set_name="tiny",
            brief_name="default",
            budget=budget_for,
            brief=lambda family, level, budget: "",
        )
