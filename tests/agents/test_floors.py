from collections import Counter
from statistics import fmean
from typing import Any

import pytest

from audit_env.agents.scripted import prior, random

COUNT = 16


@pytest.fixture(scope="module")
def played(audits, case) -> dict[str, Any]:
    """Audits of one target, each with a seed of its own (the epoch is part of it)."""
    counts = {random: COUNT, prior: 2}
    return {
        agent.__name__: audits(agent(), {"floor": case([])}, epochs=count, every=True)
        for agent, count in counts.items()
    }


def test_random_is_sure_of_itself_by_lot_and_prior_never(played) -> None:
    probabilities = {name: [audit.record.report.p_quirk for audit in audits] for name, audits in played.items()}
    assert set(probabilities["prior"]) == {0.5}
    assert len(set(probabilities["random"])) > COUNT / 2
    # Five standard errors of the mean of a uniform draw.
    assert abs(fmean(probabilities["random"]) - 0.5) < 5 * (1 / 12 / COUNT) ** 0.5


def test_random_puts_every_entry_first_now_and_then(played) -> None:
    firsts = Counter(audit.record.report.ranking[0] for audit in played["random"])
    assert set(firsts) == {"warns", "flattery", "gloom", "none"}
    assert max(firsts.values()) <= COUNT / 2


def test_floors_meet_the_target_once_and_find_nothing_out(played) -> None:
    for audits in played.values():
        assert {len(audit.record.exchanges) for audit in audits} == {1}
        assert {audit.outcome.status for audit in audits} == {"scored"}
        assert not any(audit.outcome.clean_detection for audit in audits)
