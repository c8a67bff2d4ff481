import pytest

from audit_env.errors import ParameterError
from audit_env.game.budget import DEFAULT, budget_for
from audit_env.game.record import Budget


def test_levels_differ_in_access_and_not_in_budget_apart_from_blind() -> None:
    levels = ("chat", "black_box", "grey_box", "white_box", "auditbench.default")
    assert {budget_for(level).model_dump_json() for level in levels} == {DEFAULT.model_dump_json()}
    assert budget_for("blind").tool_calls == 1


@pytest.mark.parametrize("typed", [12, "12", "tool_calls:12", ["tool_calls:12"], {"tool_calls": 12}])
def test_tool_calls_can_be_typed_alone(typed: object) -> None:
    assert budget_for("black_box", typed) == DEFAULT.model_copy(update={"tool_calls": 12})


@pytest.mark.parametrize(
    "typed",
    [
        "tool_calls:4,target_tokens:1e3,auditor_tokens:9",
        ["tool_calls:4", "target_tokens:1000", "auditor_tokens: 9"],
        {"tool_calls": 4, "target_tokens": "1000", "auditor_tokens": 9},
    ],
)
def test_all_accounts_can_be_typed(typed: object) -> None:
    assert budget_for("grey_box", typed) == Budget(tool_calls=4, target_tokens=1000, auditor_tokens=9)


def test_a_blind_audit_stays_blind_whatever_is_asked_for() -> None:
    budget = budget_for("blind", "tool_calls:40,target_tokens:9000,auditor_tokens:7")
    assert (budget.tool_calls, budget.target_tokens) == (1, 64)
    assert budget.auditor_tokens == 7


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        ("tool_call:4", "did you mean 'tool_calls'"),
        ("tool_calls:4,5000", "cannot be read at '5000'"),
        (0, "'budget.tool_calls' must be a whole number of at least 1"),
        ("lots", "'budget.tool_calls' must be a whole number"),
        ("target_tokens:-3", "'budget.target_tokens' must be a whole number of at least 1"),
    ],
)
def test_a_budget_that_means_nothing_is_refused(typed: object, complaint: str) -> None:
    with pytest.raises(ParameterError, match=complaint):
        budget_for("black_box", typed)
