import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit_env.auditors.belief import bayes_factor, posterior


def test_without_evidence_the_prior_stands() -> None:
    belief = posterior({"a": 0.0, "b": 0.0}, prior=0.4)
    assert belief.p_quirk == pytest.approx(0.4)
    assert belief.p["a"] == pytest.approx(0.2)


def test_bayes_rule_by_hand() -> None:
    # Odds a : none = 0.25 * 4 : 0.5, b : none = 0.25 : 0.5.
    belief = posterior({"a": math.log(4), "b": 0.0})
    assert belief.p == pytest.approx({"a": 1 / 1.75, "b": 0.25 / 1.75, "none": 0.5 / 1.75})
    assert belief.ranking() == ["a", "none", "b"]
    assert belief.best() == "a"


def test_none_wins_where_every_entry_explains_worse() -> None:
    belief = posterior({"a": -5.0, "b": -9.0})
    assert belief.ranking()[0] == "none" and belief.best() == "a" and belief.p_quirk < 0.01


@given(st.floats(1e-12, 1.0))
def test_a_p_value_never_speaks_for_its_null(p: float) -> None:
    assert 1.0 <= bayes_factor(p) <= 1e6


def test_bayes_factors_of_the_paper() -> None:
    # Sellke et al. 2001, table 1: p = 0.05 gives a bound of 0.407 on B, p = 0.01 gives 0.125.
    assert 1 / bayes_factor(0.05) == pytest.approx(0.407, abs=5e-4)
    assert 1 / bayes_factor(0.01) == pytest.approx(0.125, abs=5e-4)
