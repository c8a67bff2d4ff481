"""What do several audits of one target add: the best of n, or the majority?"""

from functools import partial
from math import comb

import pandas as pd

from audit_env.analysis import plots
from audit_env.analysis.answers import Answer, Cells, as_share, nothing, spread, table_of
from audit_env.analysis.frames import Frames
from audit_env.analysis.groups import clean, groups, label, marks, quirked
from audit_env.stats import clustered_wilson

KEY, TITLE = "aggregation", "What several audits of a target add"
SIZES = (1, 3, 5, 10)


def answer(frames: Frames) -> Answer:
    """Answer the question.

    Args:
        frames: What the logs say.

    Returns:
        One row for each auditor, affordance and number of audits taken together.
    """
    rows: list[Cells] = []
    for key, part in groups(frames.audits):
        innocent, told = _counts(clean(part), "false_alarm"), _counts(quirked(part), "detected")
        for size in SIZES:
            able = [counts for counts in told if counts[1] >= size]
            if not able or max(runs for _, runs in told) < 2:
                continue
            alarms = [counts for counts in innocent if counts[1] >= size]
            rows.append(
                key
                | {"of": size}
                | _mean("any_detects", [any_of(*counts, size) for counts in able])
                | _mean("majority_detects", [majority_of(*counts, size) for counts in able])
                | _mean("any_alarms", [any_of(*counts, size) for counts in alarms])
                | _mean("majority_alarms", [majority_of(*counts, size) for counts in alarms])
            )
    if not rows:
        return nothing(KEY, TITLE, "no auditor met a quirked target twice")
    notes = (
        "Expected over all ways to choose so many of the audits of one organism; 95 % Wilson, n organisms with enough "
        "audits. any: at least one of them detects (alarms); it needs somebody who knows which one is right, and its "
        "false alarms grow as well. majority: more than half do.",
        "A super-agent that reads the reports of others plays as an auditor of its own: see the rows of its name.",
    )
    return Answer(KEY, TITLE, table_of(rows), notes, partial(_plot, rows))


def any_of(hits: int, runs: int, size: int) -> float:
    """Chance that at least one of some runs hits.

    Args:
        hits: Runs that hit.
        runs: All runs.
        size: How many are drawn, without replacement.

    Returns:
        The chance.
    """
    return 1 - comb(runs - hits, size) / comb(runs, size)


def majority_of(hits: int, runs: int, size: int) -> float:
    """Chance that more than half of some runs hit.

    Args:
        hits: Runs that hit.
        runs: All runs.
        size: How many are drawn, without replacement.

    Returns:
        The chance.
    """
    ways = sum(comb(hits, k) * comb(runs - hits, size - k) for k in range(size // 2 + 1, size + 1))
    return ways / comb(runs, size)


def _counts(part: pd.DataFrame, mark: str) -> list[tuple[int, int]]:
    """Hits and runs of each organism, other weights under its id apart."""
    told = part.assign(hit=marks(part, mark)).groupby(["organism", "made_of"], dropna=False)["hit"]
    return [(int(hits.sum()), len(hits)) for _, hits in told]


def _mean(name: str, chances: list[float]) -> Cells:
    return spread(name, clustered_wilson(chances, range(len(chances))))


def _plot(rows: list[Cells]) -> object:
    points = [
        {"who": f"{label(row)}: {name}", "of": row["of"]} | as_share(row, name)
        for row in rows
        for name in ("any_detects", "majority_detects", "any_alarms")
        if row[name] is not None
    ]
    return plots.lines(table_of(points), "of", "share", "who", ("audits taken together", "share of organisms"))
