"""The statistics against scipy, closed forms, and simulation."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from audit_env.analysis.association import spearman
from audit_env.analysis.pairing import compare, matched, sign_flip
from audit_env.analysis.questions.effort import course
from audit_env.analysis.questions.roc import curve
from audit_env.analysis.resampling import two_levels
from audit_env.stats import auroc

scores = st.lists(st.integers(0, 10).map(lambda tenth: tenth / 10), min_size=1, max_size=12)


@given(st.integers(0, 8), st.integers(0, 8), st.integers(0, 5))
def test_with_one_audit_each_the_test_is_mcnemars(better: int, worse: int, same: int) -> None:
    p = sign_flip([1.0] * better + [-1.0] * worse + [0.0] * same)
    expected = scipy_stats.binomtest(better, better + worse).pvalue if better + worse else 1.0
    assert p == pytest.approx(expected)


@given(st.lists(st.integers(-4, 4).map(lambda quarter: quarter / 4), min_size=2, max_size=9))
def test_the_sign_flip_test_is_scipys(gaps: list[float]) -> None:
    if not any(gaps):
        assert sign_flip(gaps) == 1.0
        return
    found = scipy_stats.permutation_test(
        (np.asarray(gaps),), lambda x, axis: x.sum(axis=axis), permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip(gaps) == pytest.approx(found.pvalue)


def test_drawn_signs_agree_with_all_signs() -> None:
    rng = np.random.default_rng(3)
    gaps = rng.normal(0.3, 1, size=24)
    exact_like = scipy_stats.ttest_1samp(gaps, 0).pvalue
    assert sign_flip(gaps) == pytest.approx(exact_like, abs=0.03)
    assert sign_flip(gaps, seed=1) == pytest.approx(sign_flip(gaps), abs=0.01)


@given(st.lists(st.integers(0, 4).map(lambda quarter: quarter / 4), min_size=3, max_size=12))
def test_a_difference_has_students_interval(ours: list[float]) -> None:
    theirs = list(reversed(ours))
    gaps = np.asarray(ours) - np.asarray(theirs)
    found = compare(ours, theirs)
    assert found.difference == pytest.approx(0)
    if gaps.any():
        low, high = scipy_stats.ttest_1samp(gaps, 0).confidence_interval()
        assert (found.low, found.high) == (pytest.approx(max(low, -1), abs=1e-6), pytest.approx(min(high, 1), abs=1e-6))
    else:
        assert found.high == pytest.approx(1 - 0.025 ** (1 / len(ours))) == -found.low


def test_the_smallest_effect_is_found_in_four_of_five_data_sets() -> None:
    rng = np.random.default_rng(0)
    gaps = rng.normal(0, 0.2, size=60)
    smallest = compare(list(0.5 + gaps), [0.5] * 60).smallest
    drawn = rng.normal(smallest, gaps.std(ddof=1), size=(400, 60))
    found = np.mean([scipy_stats.ttest_1samp(row, 0).pvalue < 0.05 for row in drawn])
    assert found == pytest.approx(0.8, abs=0.06)


@given(scores, scores)
def test_the_area_below_the_curve_is_mann_whitneys(positives: list[float], negatives: list[float]) -> None:
    x, y = zip(*curve(positives, negatives), strict=True)
    u = scipy_stats.mannwhitneyu(positives, negatives).statistic / (len(positives) * len(negatives))
    assert np.trapezoid(y, x) == pytest.approx(u) == pytest.approx(auroc(positives, negatives).area)


def test_intervals_over_organisms_and_runs_cover() -> None:
    rng = np.random.default_rng(7)
    organisms = np.repeat(np.arange(30), 4)
    covered = 0
    for trial in range(300):
        strength = rng.beta(1.2, 1.8, size=30)
        values = (rng.random(120) < strength[organisms]).astype(float)
        drawn = two_levels(list(values), list(organisms), seed=trial, draws=400)
        covered += drawn.low <= 0.4 <= drawn.high
    assert 0.91 <= covered / 300 <= 0.99


def test_an_interval_that_knows_of_organisms_is_wider_than_one_that_does_not() -> None:
    values, organisms = [1.0] * 20 + [0.0] * 20, [place // 4 for place in range(40)]
    aware = two_levels(values, organisms)
    blind = two_levels(values, range(40))
    assert aware.high - aware.low > 1.5 * (blind.high - blind.low)
    assert aware.between == pytest.approx(1.0) and blind.between is None


def test_rates_that_never_vary_get_wilsons_interval() -> None:
    found = two_levels([0.0] * 12, [place // 2 for place in range(12)])
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(scipy_stats.binomtest(0, 6).proportion_ci(method="wilson").high)


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=20))
def test_the_course_of_finding_is_the_distribution_of_scipy(audits: list[tuple[int, bool]]) -> None:
    part = pd.DataFrame(
        {
            "organism": [str(place) for place in range(len(audits))],
            "calls_to_correct": [calls if found else None for calls, found in audits],
            "detected": [found for _, found in audits],
        }
    )
    # What is never found is found after more calls than anybody makes.
    theirs = scipy_stats.ecdf([calls if found else 1e9 for calls, found in audits]).cdf
    for calls, share in course(part):
        assert share.rate == pytest.approx(float(theirs.evaluate(calls)))
        assert share.low <= share.rate <= share.high and share.n == len(audits)


def test_intervals_of_differences_cover() -> None:
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(400):
        strength = rng.uniform(0, 0.7, size=12)
        ours, theirs = (rng.binomial(3, p) / 3 for p in (strength + 0.3, strength))
        found = compare(list(ours), list(theirs))
        covered += found.low <= 0.3 <= found.high
    assert 0.92 <= covered / 400 <= 0.99


def test_the_test_of_a_difference_keeps_its_level() -> None:
    rng = np.random.default_rng(12)
    found = [sign_flip(rng.choice((-1.0, 0.0, 1.0), size=14)) < 0.05 for _ in range(300)]
    assert np.mean(found) <= 0.08


def test_intervals_of_rank_correlations_cover() -> None:
    rng = np.random.default_rng(13)
    truth = 6 / np.pi * np.arcsin(0.6 / 2)  # Of two normal variables that correlate at 0.6.
    covered = 0
    for trial in range(150):
        x, y = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=30).T
        found = spearman(list(x), list(y), seed=trial, draws=300)
        covered += found.low <= truth <= found.high
    assert 0.88 <= covered / 150 <= 0.99


def test_targets_pair_by_id_and_weights() -> None:
    ours = {("a", "1"): 1.0, ("b", "1"): 0.5, ("c", None): 1.0, ("d", "1"): 0.0}
    theirs = {("a", "1"): 0.0, ("b", "2"): 0.5, ("c", None): 0.0}
    found = matched(ours, theirs)
    assert (found.ours, found.theirs, found.unlike) == ((1.0,), (0.0,), ("b", "c"))
