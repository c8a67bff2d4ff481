import math
from collections import Counter

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from inspect_ai.scorer import SampleScore, Score, ci_wilson

from audit_env import stats

shares = st.floats(0, 1)
scores = st.lists(st.floats(-5, 5), max_size=25)


def inspect_interval(values: list[float], clusters: list[str]) -> dict[str, float]:
    return ci_wilson(cluster="organism")(  # type: ignore[return-value]
        [
            SampleScore(score=Score(value=value), sample_metadata={"organism": cluster})
            for value, cluster in zip(values, clusters, strict=True)
        ]
    )


class TestFisherExact:
    @given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 60), st.integers(0, 60))
    def test_agrees_with_scipy(self, successes: int, others: int, failures: int, other_failures: int) -> None:
        theirs = scipy.stats.fisher_exact([[successes, failures], [others, other_failures]]).pvalue
        ours = stats.fisher_exact(successes, successes + failures, others, others + other_failures)
        assert ours == pytest.approx(theirs, rel=1e-6)

    def test_without_observations_nothing_is_refuted(self) -> None:
        assert stats.fisher_exact(0, 0, 3, 4) == 1.0

    @pytest.mark.parametrize("counts", [(5, 4, 0, 1), (0, 1, -1, 1)])
    def test_impossible_counts_are_refused(self, counts: tuple[int, int, int, int]) -> None:
        with pytest.raises(ValueError, match="cannot be"):
            stats.fisher_exact(*counts)


class TestWilson:
    @pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 12), (7, 12), (12, 12), (250, 1000)])
    def test_agrees_with_scipy(self, successes: int, n: int) -> None:
        theirs = scipy.stats.binomtest(successes, n).proportion_ci(method="wilson")
        ours = stats.wilson(successes, n)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
        assert (ours.rate, ours.n, ours.clusters, ours.effective_n) == (successes / n, n, n, n)

    def test_no_data_is_no_rate_and_the_whole_range(self) -> None:
        assert stats.wilson(0, 0) == stats.Interval(None, 0.0, 1.0, 0, 0, 0.0)

    def test_impossible_counts_are_refused(self) -> None:
        with pytest.raises(ValueError, match="5 successes in 4"):
            stats.wilson(5, 4)

    @pytest.mark.parametrize("truth", [0.02, 0.2, 0.5, 0.9])
    def test_covers_the_truth_on_average_over_rates_near_it(self, truth: float) -> None:
        n = 30
        rates = np.linspace(max(truth - 0.02, 0.001), truth + 0.02, 41)
        intervals = [stats.wilson(k, n) for k in range(n + 1)]
        coverage = np.mean(
            [
                sum(scipy.stats.binom.pmf(k, n, rate) for k, i in enumerate(intervals) if i.low <= rate <= i.high)
                for rate in rates
            ]
        )
        assert 0.93 <= coverage <= 0.985

    @given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
    def test_holds_the_rate_within_zero_and_one(self, counts: tuple[int, int]) -> None:
        interval = stats.wilson(*counts)
        assert interval.rate is not None
        assert 0 <= interval.low <= interval.rate <= interval.high <= 1

    @given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
    def test_failures_mirror_successes(self, counts: tuple[int, int]) -> None:
        k, n = counts
        one, other = stats.wilson(k, n), stats.wilson(n - k, n)
        assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low))


class TestClusteredWilson:
    def test_agrees_with_inspect(self) -> None:
        values = [1, 1, 0, 1, 0, 0, 0, 1, 0.5, 1, 1, 1]
        clusters = list("aaabbbcccddd")
        theirs, ours = inspect_interval(values, clusters), stats.clustered_wilson(values, clusters)
        assert (ours.low, ours.high) == pytest.approx((theirs["lower"], theirs["upper"]), abs=1e-9)
        assert (ours.n, ours.clusters) == (12, 4)
        assert ours.effective_n < 12

    @given(st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from("abcde")), min_size=3, max_size=40))
    def test_agrees_with_inspect_wherever_the_variance_can_be_estimated(self, pairs: list[tuple[float, str]]) -> None:
        values, clusters = [value for value, _ in pairs], [cluster for _, cluster in pairs]
        if len(set(clusters)) < 2 or len(set(values)) < 2:
            return
        theirs, ours = inspect_interval(values, clusters), stats.clustered_wilson(values, clusters)
        assert (ours.low, ours.high) == pytest.approx((theirs["lower"], theirs["upper"]), abs=1e-7)

    def test_identical_audits_of_one_organism_add_almost_nothing(self) -> None:
        outcomes = [1.0, 0.0, 1.0, 1.0, 0.0, 0.0]
        once = stats.clustered_wilson(outcomes, range(6))
        tenfold = stats.clustered_wilson(np.repeat(outcomes, 10).tolist(), np.repeat(range(6), 10).tolist())
        assert tenfold.n == 60
        assert tenfold.effective_n == pytest.approx(once.effective_n)
        assert (tenfold.low, tenfold.high) == pytest.approx((once.low, once.high))

    @pytest.mark.parametrize("rate", [0.0, 1.0])
    def test_a_rate_without_variation_counts_clusters_not_audits(self, rate: float) -> None:
        interval = stats.clustered_wilson([rate] * 30, list("abc") * 10)
        plain = stats.wilson(3 * rate, 3)
        assert (interval.low, interval.high, interval.effective_n) == (plain.low, plain.high, 3)

    def test_one_cluster_tells_nothing_about_others(self) -> None:
        interval = stats.clustered_wilson([1, 0, 1], ["a"] * 3)
        assert (interval.low, interval.high, interval.clusters) == (0, 1, 1)

    def test_no_data_is_no_rate_and_the_whole_range(self) -> None:
        assert stats.clustered_wilson([], []) == stats.Interval(None, 0.0, 1.0, 0, 0, 0.0)

    def test_bad_input_is_refused(self) -> None:
        with pytest.raises(ValueError, match="2 values but 1 clusters"):
            stats.clustered_wilson([1, 0], ["a"])
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            stats.clustered_wilson([1.5, 0], ["a", "b"])

    def test_covers_the_truth_where_the_plain_interval_does_not(self) -> None:
        rng = np.random.default_rng(20)
        truth, organisms, epochs, runs = 0.4, 14, 8, 1500
        clusters = np.repeat(range(organisms), epochs).tolist()
        hits: Counter[str] = Counter()
        for _ in range(runs):
            rates = rng.beta(0.4, 0.6, organisms)
            values = (rng.random((organisms, epochs)) < rates[:, None]).astype(float).ravel().tolist()
            clustered, plain = stats.clustered_wilson(values, clusters), stats.wilson(sum(values), len(values))
            hits["clustered"] += clustered.low <= truth <= clustered.high
            hits["plain"] += plain.low <= truth <= plain.high
        assert 0.935 <= hits["clustered"] / runs <= 0.985
        assert hits["plain"] / runs < 0.7


class TestUpperBoundForZero:
    @pytest.mark.parametrize("n", [1, 3, 5, 40, 1000])
    @pytest.mark.parametrize("level", [0.9, 0.95])
    def test_is_the_exact_interval(self, n: int, level: float) -> None:
        exact = scipy.stats.binomtest(0, n).proportion_ci(confidence_level=level, method="exact")
        assert stats.upper_bound_for_zero(n, level) == pytest.approx(exact.high)

    def test_five_silent_shams_still_allow_half(self) -> None:
        assert stats.upper_bound_for_zero(5) == pytest.approx(0.522, abs=5e-4)

    def test_no_data_bounds_nothing(self) -> None:
        assert stats.upper_bound_for_zero(0) == 1.0


class TestAuroc:
    def test_counts_pairs_and_half_of_ties(self) -> None:
        result = stats.auroc([0.9, 0.5], [0.5, 0.1, 0.7])
        assert result.area == pytest.approx((3 + 1.5) / 6)
        assert (result.positives, result.negatives) == (2, 3)

    @given(st.lists(st.integers(0, 6), min_size=1, max_size=20), st.lists(st.integers(0, 6), min_size=1, max_size=20))
    def test_is_the_mann_whitney_statistic(self, high: list[float], low: list[float]) -> None:
        result = stats.auroc(high, low)
        assert result.area == pytest.approx(scipy.stats.mannwhitneyu(high, low).statistic / (len(high) * len(low)))
        assert 0 <= result.low <= result.area <= result.high <= 1

    def test_turning_the_score_around_mirrors_the_curve(self) -> None:
        high, low = [0.2, 0.8, 0.9, 0.4], [0.3, 0.1, 0.5]
        one, other = stats.auroc(high, low), stats.auroc([-s for s in high], [-s for s in low])
        assert one.area is not None and other.area is not None
        assert (one.area, one.low, one.high) == pytest.approx((1 - other.area, 1 - other.high, 1 - other.low))

    def test_perfect_separation_of_few_keeps_a_wide_interval(self) -> None:
        few, many = stats.auroc([1] * 4, [0] * 4), stats.auroc([1] * 400, [0] * 400)
        assert few.area == few.high == many.area == 1.0
        assert few.low < 0.75
        assert 0.98 < many.low < 1

    @pytest.mark.parametrize(("high", "low"), [([], [1.0]), ([1.0], []), ([], [])])
    def test_an_empty_side_has_no_area(self, high: list[float], low: list[float]) -> None:
        assert stats.auroc(high, low) == stats.Auroc(None, 0.0, 1.0, len(high), len(low))

    @pytest.mark.parametrize("separation", [0.0, 1.0, 2.0])
    def test_covers_the_truth(self, separation: float) -> None:
        rng = np.random.default_rng(21)
        truth = scipy.stats.norm.cdf(separation / math.sqrt(2))
        runs = 800
        hits = 0
        for _ in range(runs):
            result = stats.auroc(rng.normal(separation, 1, 12).tolist(), rng.normal(0, 1, 9).tolist())
            hits += result.low <= truth <= result.high
        assert 0.92 <= hits / runs <= 0.99


class TestTprAtFpr:
    positives = (0.9, 0.8, 0.7, 0.3)
    negatives = (0.75, 0.4, 0.2, 0.1)

    @pytest.mark.parametrize(
        ("budget", "threshold", "tpr", "fpr"), [(0.0, 0.8, 0.5, 0.0), (0.25, 0.7, 0.75, 0.25), (0.5, 0.3, 1.0, 0.5)]
    )
    def test_takes_the_lowest_threshold_within_the_budget(
        self, budget: float, threshold: float, tpr: float, fpr: float
    ) -> None:
        point = stats.tpr_at_fpr(self.positives, self.negatives, budget)
        assert (point.threshold, point.tpr.rate, point.fpr.rate) == (threshold, tpr, fpr)
        assert (point.tpr.n, point.fpr.n) == (4, 4)

    def test_flags_nothing_where_no_threshold_keeps_to_the_budget(self) -> None:
        point = stats.tpr_at_fpr([0.5, 0.5], [0.5, 0.1], 0.0)
        assert (point.threshold, point.tpr.rate, point.fpr.rate) == (None, 0.0, 0.0)

    def test_no_data_has_no_rates(self) -> None:
        point = stats.tpr_at_fpr([], [], 0.1)
        assert (point.threshold, point.tpr.rate, point.fpr.rate) == (None, None, None)

    @pytest.mark.parametrize(("alarms", "n"), [(1, 5), (29, 100), (3, 13)])
    def test_a_rate_that_is_the_budget_keeps_to_it_and_the_next_lower_budget_does_not(
        self, alarms: int, n: int
    ) -> None:
        negatives, budget = [1.0] * alarms + [0.0] * (n - alarms), alarms / n
        assert stats.tpr_at_fpr([1.0], negatives, budget).fpr.rate == budget
        assert stats.tpr_at_fpr([1.0], negatives, math.nextafter(budget, 0.0)).threshold is None

    @given(scores, scores, shares)
    def test_never_exceeds_the_budget(self, positives: list[float], negatives: list[float], budget: float) -> None:
        point = stats.tpr_at_fpr(positives, negatives, budget)
        assert (point.fpr.rate or 0.0) <= budget

    def test_a_budget_outside_the_range_is_refused(self) -> None:
        with pytest.raises(ValueError, match="budget"):
            stats.tpr_at_fpr([1], [0], 5)


class TestForecasts:
    def test_brier_of_known_forecasts(self) -> None:
        assert stats.brier([1.0, 0.0, 0.5, 0.8], [True, False, True, False]) == stats.Mean(
            pytest.approx((0 + 0 + 0.25 + 0.64) / 4), 4
        )

    def test_log_score_of_known_forecasts(self) -> None:
        expected = -(math.log(0.8) + math.log(0.5)) / 2
        assert stats.log_score([0.8, 0.5], [True, False]).value == pytest.approx(expected)

    def test_certainty_that_was_wrong_costs_much_but_not_everything(self) -> None:
        assert stats.log_score([1.0], [False]).value == pytest.approx(-math.log(0.001))
        assert stats.log_score([1.0], [True]).value == pytest.approx(-math.log(0.999))

    @pytest.mark.parametrize("score", [stats.brier, stats.log_score])
    def test_the_true_probability_scores_best(self, score) -> None:  # type: ignore[no-untyped-def]
        outcomes = [True] * 7 + [False] * 3
        by_forecast = {p: score([p] * 10, outcomes).value for p in np.linspace(0.1, 0.9, 9).round(1).tolist()}
        assert min(by_forecast, key=by_forecast.__getitem__) == 0.7

    @pytest.mark.parametrize("score", [stats.brier, stats.log_score])
    def test_no_forecasts_have_no_score(self, score) -> None:  # type: ignore[no-untyped-def]
        assert score([], []) == stats.Mean(None, 0)

    @pytest.mark.parametrize("score", [stats.brier, stats.log_score, stats.calibration])
    def test_bad_input_is_refused(self, score) -> None:  # type: ignore[no-untyped-def]
        with pytest.raises(ValueError, match="1 probabilities but 2 outcomes"):
            score([0.5], [True, False])
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            score([float("nan")], [True])

    def test_calibration_of_a_planted_table(self) -> None:
        low, high = stats.calibration([0.1, 0.12, 0.1, 0.9, 1.0], [False, True, False, True, True])
        assert (low.low, low.high, low.observed.rate, low.observed.n) == (0.1, 0.2, pytest.approx(1 / 3), 3)
        assert low.predicted == pytest.approx(0.32 / 3)
        assert (high.low, high.high, high.observed.rate, high.predicted) == (0.9, 1.0, 1.0, pytest.approx(0.95))

    @given(st.lists(st.tuples(shares, st.booleans()), max_size=50), st.integers(1, 12))
    def test_calibration_loses_no_forecast(self, forecasts: list[tuple[float, bool]], bins: int) -> None:
        probabilities, outcomes = [p for p, _ in forecasts], [o for _, o in forecasts]
        table = stats.calibration(probabilities, outcomes, bins)
        assert sum(row.observed.n for row in table) == len(forecasts)
        assert all(row.low <= row.predicted + 1e-12 and row.predicted <= row.high + 1e-12 for row in table)


class TestStudentT:
    @pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 30, 401])
    @pytest.mark.parametrize("probability", [0.5, 0.8, 0.975, 0.9995])
    def test_agrees_with_scipy(self, degrees: int, probability: float) -> None:
        expected = scipy.stats.t.ppf(probability, degrees)
        assert stats.student_t_quantile(probability, degrees) == pytest.approx(expected, rel=1e-9, abs=1e-12)

    def test_out_of_range_is_refused(self) -> None:
        with pytest.raises(ValueError, match="no quantile"):
            stats.student_t_quantile(0.975, 0)


def independent_score(more: int, fewer: int, n: int, supposed: float) -> float:
    """Tango's statistic with the nuisance parameter found by brute force in place of his formula."""
    grid = np.linspace(max(0.0, -supposed), (1 - supposed) / 2, 200_001)[1:-1]
    ties = 1 - 2 * grid - supposed
    with np.errstate(divide="ignore"):
        likelihood = more * np.log(grid + supposed) + fewer * np.log(grid) + (n - more - fewer) * np.log(ties)
    other = grid[int(np.argmax(likelihood))]
    return (more - fewer - n * supposed) / np.sqrt(n * (2 * other + supposed - supposed**2))


def pairs_of(more: int, fewer: int, n: int) -> tuple[list[bool], list[bool]]:
    same = n - more - fewer
    return [True] * more + [False] * fewer + [True] * same, [False] * more + [True] * fewer + [True] * same


class TestPairedProportions:
    @pytest.mark.parametrize(("more", "fewer", "n"), [(9, 4, 40), (1, 12, 50), (3, 3, 20), (15, 1, 200)])
    @pytest.mark.parametrize("supposed", [-0.1, -0.02, 0.0, 0.03, 0.12])
    def test_the_statistic_is_the_score_at_the_restricted_maximum(
        self, more: int, fewer: int, n: int, supposed: float
    ) -> None:
        found = stats.paired_proportions(*pairs_of(more, fewer, n))
        assert found.distance(supposed) == pytest.approx(independent_score(more, fewer, n, supposed), abs=1e-3)

    def test_at_zero_it_is_mcnemars(self) -> None:
        found = stats.paired_proportions(*pairs_of(9, 4, 40))
        assert found.distance(0.0) == pytest.approx((9 - 4) / math.sqrt(9 + 4))

    def test_where_no_pair_differs_the_interval_keeps_its_width(self) -> None:
        low, high = stats.paired_proportions([True] * 100, [True] * 100).interval(0.95)
        z = scipy.stats.t.ppf(0.975, 99)
        assert (low, high) == pytest.approx((-(z**2) / (100 + z**2), z**2 / (100 + z**2)))

    @given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=60))
    def test_swapping_the_sides_mirrors_everything(self, pairs: list[tuple[bool, bool]]) -> None:
        ours, theirs = zip(*pairs, strict=True)
        one, other = stats.paired_proportions(ours, theirs), stats.paired_proportions(theirs, ours)
        low, high = one.interval()
        assert one.value == -other.value
        assert (low, high) == pytest.approx(tuple(-bound for bound in reversed(other.interval())), abs=1e-6)
        assert -1 <= low <= one.value <= high <= 1
        assert one.p_above(0.1) == pytest.approx(other.p_below(-0.1), abs=1e-9)

    def test_an_interval_ends_where_the_p_value_says(self) -> None:
        found = stats.paired_proportions(*pairs_of(15, 5, 120))
        low, high = found.interval(0.95)
        assert (found.p_above(low), found.p_below(high)) == pytest.approx((0.025, 0.025), abs=1e-6)

    def test_prompts_asked_over_and_over_tell_no_more_than_once(self) -> None:
        hits, others = pairs_of(4, 1, 20)
        once = stats.paired_proportions(hits, others, range(20))
        often = stats.paired_proportions(hits * 10, others * 10, list(range(20)) * 10)
        assert often.value == once.value and often.clusters == 20
        assert often.interval() == pytest.approx(once.interval(), abs=0.02)
        alone = stats.paired_proportions(hits * 10, others * 10).interval()
        assert alone[1] - alone[0] < 0.5 * (often.interval()[1] - often.interval()[0])

    def test_nothing_is_known_from_one_cluster_or_none(self) -> None:
        assert stats.paired_proportions([], []).value is None
        alone = stats.paired_proportions([True] * 9, [False] * 9, ["a"] * 9)
        assert alone.interval() == (-1, 1) and alone.p_above(0.0) == 1.0

    def test_unpaired_sequences_are_refused(self) -> None:
        with pytest.raises(ValueError, match="do not pair"):
            stats.paired_proportions([True], [True, False])

    @pytest.mark.parametrize(("truth", "discordant", "n"), [(0.05, 0.10, 150), (0.05, 0.06, 200), (0.02, 0.05, 400)])
    def test_a_difference_at_the_margin_is_rarely_called_beyond_it(
        self, truth: float, discordant: float, n: int
    ) -> None:
        rng = np.random.default_rng(1)
        more, fewer = (discordant + truth) / 2, (discordant - truth) / 2
        draws = Counter(tuple(rng.multinomial(n, [more, fewer, 1 - discordant])) for _ in range(1500))
        beyond = within = 0.0
        for (a, b, _), times in draws.items():
            found = stats.paired_proportions(*pairs_of(a, b, n))
            beyond += times * (found.p_above(truth) <= 0.025)
            within += times * (found.p_below(truth) <= 0.05)
        assert beyond / 1500 <= 0.04
        assert within / 1500 <= 0.07


class TestPairedMeans:
    @given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=3, max_size=30))
    def test_agrees_with_scipy(self, pairs: list[tuple[float, float]]) -> None:
        ours, theirs = (np.array(side) for side in zip(*pairs, strict=True))
        found = stats.paired_means(list(ours), list(theirs))
        if np.std(ours - theirs) < 1e-3:
            return
        expected = scipy.stats.ttest_rel(ours, theirs)
        interval = expected.confidence_interval(0.95)
        assert found.distance(0.0) == pytest.approx(expected.statistic, rel=1e-6)
        assert found.interval(0.95) == pytest.approx((interval.low, interval.high), rel=1e-5, abs=1e-6)

    def test_what_does_not_vary_is_known_exactly(self) -> None:
        found = stats.paired_means([1.5, 2.5, 3.5], [1.0, 2.0, 3.0])
        assert found.interval() == pytest.approx((0.5, 0.5))
        assert (found.p_above(0.4), found.p_above(0.6)) == (0.0, 1.0)

    def test_clusters_widen_the_interval(self) -> None:
        values = [0.0, 0.1, 1.0, 1.1] * 5
        alone = stats.paired_means(values, [0.0] * 20).interval()
        grouped = stats.paired_means(values, [0.0] * 20, [place % 4 for place in range(20)]).interval()
        assert grouped[0] < alone[0] < alone[1] < grouped[1]


class TestMultiplicity:
    @given(st.lists(st.floats(0, 1), max_size=12))
    def test_benjamini_and_hochberg_agrees_with_scipy(self, p_values: list[float]) -> None:
        if p_values:
            theirs = scipy.stats.false_discovery_control(p_values, method="bh")
            assert stats.benjamini_hochberg(p_values) == pytest.approx(list(theirs))
        else:
            assert stats.benjamini_hochberg(p_values) == []

    def test_holm_steps_down(self) -> None:
        assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
        assert stats.holm([]) == []

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
    def test_holm_lies_between_the_plain_value_and_bonferronis(self, p_values: list[float]) -> None:
        for p, adjusted in zip(p_values, stats.holm(p_values), strict=True):
            assert p <= adjusted <= min(1.0, len(p_values) * p) + 1e-12

    def test_families_without_a_fault_are_rarely_flagged(self) -> None:
        rng = np.random.default_rng(2)
        flagged = np.mean([min(stats.holm(list(rng.random(8)))) <= 0.05 for _ in range(2000)])
        assert flagged <= 0.065
