"""Do things come true as often as the auditors say?"""

from functools import partial

from audit_env.analysis import plots
from audit_env.analysis.answers import Answer, Cells, nothing, spread, table_of
from audit_env.analysis.frames import Frames
from audit_env.analysis.groups import groups, judged, label
from audit_env.stats import brier, calibration

KEY, TITLE = "calibration", "Calibration of the probability of a quirk"
BINS = 5


def answer(frames: Frames) -> Answer:
    """Answer the question.

    Args:
        frames: What the logs say.

    Returns:
        One row for each auditor, affordance and bin of probabilities.
    """
    told = judged(frames.audits)
    if told.empty:
        return nothing(KEY, TITLE, "no audit that gave a probability")
    rows: list[Cells] = []
    for key, part in groups(told):
        given, facts = [float(p) for p in part["p_quirk"]], list(part["standing"] == "quirked")
        bins = calibration(given, facts, BINS)
        off = sum(b.observed.n * abs(b.predicted - (b.observed.rate or 0)) for b in bins) / len(part)
        scores: Cells = {"brier": brier(given, facts).value, "off_by": off}
        rows += [
            key | {"bin": f"{b.low:g}-{b.high:g}", "said": b.predicted} | spread("came_true", b.observed) | scores
            for b in bins
            if b.observed.n
        ]
    notes = (
        "said: mean probability in the bin; came_true: share of its audits whose target has a quirk (95 % Wilson, n "
        "audits); off_by: their mean distance, weighted by n; brier: over all bins. Few audits make any bin look off.",
        "The share of quirked targets in a set is a choice of the set's: calibration does not carry over to another.",
    )
    return Answer(KEY, TITLE, table_of(rows), notes, partial(_plot, rows))


def _plot(rows: list[Cells]) -> object:
    points = [row | {"who": label({k: row[k] for k in list(row)[: list(row).index("bin")]})} for row in rows]
    return plots.lines(table_of(points), "said", "came_true", "who", ("said", "came true"), diagonal=True)
