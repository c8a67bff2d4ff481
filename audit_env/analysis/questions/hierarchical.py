"""How sure are the rates, when both organisms and runs are a draw?"""

from functools import partial

from audit_env.analysis import plots
from audit_env.analysis.answers import Answer, nothing, spread, table_of
from audit_env.analysis.frames import Frames
from audit_env.analysis.groups import clean, groups, label, marks, quirked, rate
from audit_env.analysis.resampling import Resampled, two_levels

KEY, TITLE = "hierarchical", "Intervals over organisms and runs"


def answer(frames: Frames) -> Answer:
    """Answer the question.

    Args:
        frames: What the logs say.

    Returns:
        One row for each auditor, affordance and rate.
    """
    rows = []
    for key, part in groups(frames.audits):
        for name, told in (("clean_detection", quirked(part)), ("false_alarm", clean(part))):
            if told.empty:
                continue
            drawn = two_levels(marks(told, name), list(told["organism"]))
            rows.append(
                key
                | {"rate": name}
                | spread("wilson", rate(told, name))
                | _drawn(drawn)
                | {"organisms": drawn.organisms, "runs_each": len(told) / drawn.organisms, "between": drawn.between}
            )
    if not rows:
        return nothing(KEY, TITLE, "no audit that counts")
    notes = (
        "wilson: 95 % Wilson, clustered by organism. drawn: the same rate, 95 % percentiles of 2,000 bootstrap draws "
        "of organisms and, within each, of runs; with under some 15 organisms it tends to be too narrow: go by Wilson. "
        "between: share of the variance between organisms (not known with one run each).",
        "Organisms of one family and one base are alike: no interval here speaks for other families.",
    )
    return Answer(KEY, TITLE, table_of(rows), notes, partial(_plot, rows))


def _drawn(drawn: Resampled) -> dict[str, object]:
    return {"drawn": drawn.value, "drawn_low": drawn.low, "drawn_high": drawn.high, "drawn_n": drawn.n}


def _plot(rows: list[dict[str, object]]) -> object:
    long = [
        {"who": f"{label({k: v for k, v in row.items() if k != 'rate'})}: {row['rate']}", "method": method}
        | {f"share{part}": row[f"{method}{part}"] for part in ("", "_low", "_high", "_n")}
        for row in rows
        for method in ("wilson", "drawn")
    ]
    return plots.ranges(table_of(long), "share", "who", "method", "share", (0, 1))
