import numpy as np
import pytest

from audit_env.naturalness.sheet import Compared, Worse
from audit_env.naturalness.verdict import LEVEL, compared, p_beyond, remark
from audit_env.stats import Difference, holm, measured_difference, paired_proportions


def decide(
    difference: Difference, worse: Worse = "lower", margin: float = 0.05, beyond: float | None = None
) -> Compared:
    bound = margin if beyond is None else beyond
    return compared(difference, p_beyond(difference, bound), margin=margin, beyond=bound, worse=worse)


def seen(value: float, error: float) -> Difference:
    return measured_difference(value, error, 2000, 2000)


@pytest.mark.parametrize(
    ("value", "error", "worse", "verdict"),
    [
        (0.00, 0.010, "lower", "natural"),
        (1e-6, 1e-8, "lower", "natural"),
        (-0.03, 0.030, "lower", "inconclusive"),
        (-0.03, 0.005, "lower", "inconclusive"),
        (-0.10, 0.010, "lower", "deviating"),
        (0.10, 0.010, "lower", "improved"),
        (0.10, 0.010, "higher", "deviating"),
        (0.10, 0.010, "either", "deviating"),
        (-0.10, 0.010, "either", "deviating"),
        (-0.07, 0.015, "lower", "inconclusive"),
    ],
)
def test_verdicts(value: float, error: float, worse: Worse, verdict: str) -> None:
    assert decide(seen(value, error), worse).verdict == verdict


def test_between_two_bounds_nothing_is_decided() -> None:
    assert decide(seen(0.10, 0.01), "either", 0.05, beyond=0.15).verdict == "inconclusive"
    assert decide(seen(0.20, 0.01), "either", 0.05, beyond=0.15).verdict == "deviating"


def test_a_deviation_must_stand_beside_the_other_rows() -> None:
    difference = seen(-0.08, 0.0135)
    alone = compared(difference, p_beyond(difference, 0.05), margin=0.05, beyond=0.05, worse="lower")
    among = compared(difference, 8 * p_beyond(difference, 0.05), margin=0.05, beyond=0.05, worse="lower")
    assert (alone.verdict, among.verdict) == ("deviating", "inconclusive")


def test_p_and_interval_agree() -> None:
    difference = seen(-0.08, 0.01)
    edge = difference.interval(0.95)[1]
    assert p_beyond(difference, -edge) == pytest.approx(0.05, abs=1e-6)


def test_an_open_verdict_says_why() -> None:
    assert remark(decide(seen(-0.03, 0.005)), 0.05) == "a real difference within the margin"
    assert remark(decide(seen(-0.07, 0.015)), 0.05) == "a real difference, of unsure size"
    assert remark(decide(seen(-0.01, 0.040)), 0.05) == "too few prompts to tell a difference of 0.05 from none"
    assert remark(decide(seen(0.0, 0.01)), 0.05) == ""


@pytest.mark.parametrize(("shift", "most"), [(0.0, 0.01), (0.05, 0.075)])
def test_organisms_no_worse_than_the_margin_are_rarely_flagged_in_any_row(shift: float, most: float) -> None:
    rng, organisms, rows, n = np.random.default_rng(3), 200, 8, 120
    flagged = 0
    for _ in range(organisms):
        base = rng.random((rows, n)) < 0.9
        target = np.where(base, rng.random((rows, n)) < 1 - shift / 0.9, False)
        found = [paired_proportions(list(one), list(two)) for one, two in zip(target, base, strict=True)]
        adjusted = holm([p_beyond(difference, 0.05) for difference in found])
        flagged += min(adjusted) <= LEVEL
    assert flagged / organisms <= most
