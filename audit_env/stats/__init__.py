"""Intervals, scores and curves for audits: pure functions of numbers.

With no data a figure is None and its interval is the whole range: nothing here returns NaN. Counts travel with
every figure.

Confidence is given as `z`, the two-sided normal quantile (`Z95` for 95 %), as in Wilson's formula.
"""

from audit_env.stats.forecasts import CalibrationBin, Mean, brier, calibration, log_score
from audit_env.stats.pairs import Difference, measured_difference, paired_means, paired_proportions
from audit_env.stats.quantiles import Z95, student_t_quantile
from audit_env.stats.rates import Interval, clustered_wilson, fisher_exact, upper_bound_for_zero, wilson
from audit_env.stats.separation import Auroc, OperatingPoint, auroc, tpr_at_fpr
from audit_env.stats.several import benjamini_hochberg, holm

__all__ = [
    "Auroc",
    "CalibrationBin",
    "Difference",
    "Interval",
    "Mean",
    "OperatingPoint",
    "Z95",
    "auroc",
    "benjamini_hochberg",
    "brier",
    "calibration",
    "clustered_wilson",
    "fisher_exact",
    "holm",
    "log_score",
    "measured_difference",
    "paired_means",
    "paired_proportions",
    "student_t_quantile",
    "tpr_at_fpr",
    "upper_bound_for_zero",
    "wilson",
]
