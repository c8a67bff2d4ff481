import math

import pytest

from audit_env.auditors.belief import posterior


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
