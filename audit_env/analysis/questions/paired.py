"""Which of two auditors finds more, on the same targets?"""

from functools import partial
from itertools import combinations

from audit_env.analysis import plots
from audit_env.analysis.answers import Answer, Cells, nothing, table_of
from audit_env.analysis.frames import Frames
from audit_env.analysis.groups import by_target, groups, label, quirked
from audit_env.analysis.pairing import corrected, difference, left_out, matched

KEY, TITLE = "paired", "Auditors compared on the same targets"


def answer(frames: Frames) -> Answer:
    """Answer the question.

    Args:
        frames: What the logs say.

    Returns:
        One row for each pair of auditor and affordance that share targets.
    """
    told = quirked(frames.audits)
    told = told.assign(mark=[value is True or value == 1 for value in told["clean_detection"]])
    rates = {label(key): by_target(part, "mark") for key, part in groups(told)}
    pairs = {(other, name): matched(theirs, ours) for (name, ours), (other, theirs) in combinations(rates.items(), 2)}
    rows: list[Cells] = [
        {"first": first, "second": second} | difference(pair)
        for (first, second), pair in pairs.items()
        if len(pair.ours) > 1
    ]
    aside = left_out(pairs.values())
    if not rows:
        return nothing(KEY, TITLE, " ".join(["no two auditors or levels share two quirked targets", *aside]))
    notes = (
        "Clean detection of the first less the second, target by target (n targets; 95 % Student). p: two-sided "
        "sign-flip test, exact up to 16 targets that differ (McNemar's exact test with one audit each); p_holm: over "
        "all rows. smallest_effect: the difference that such data would show with a chance of 80 %.",
        "A difference that is not shown is not shown to be none: look at the interval.",
        *aside,
    )
    return Answer(KEY, TITLE, table_of(corrected(rows)), notes, partial(_plot, rows))


def _plot(rows: list[Cells]) -> object:
    named = [row | {"pair": f"{row['first']} - {row['second']}", "what": "clean detection"} for row in rows]
    return plots.ranges(table_of(named), "difference", "pair", "what", "difference", (-1, 1))
