"""What does one tool add: levels of access that differ in a single tool."""

from functools import partial
from itertools import permutations

import pandas as pd

from audit_env.analysis import plots
from audit_env.analysis.answers import Answer, Cells, nothing, table_of
from audit_env.analysis.frames import Frames
from audit_env.analysis.groups import by_target, marks, quirked
from audit_env.analysis.pairing import compare
from audit_env.stats import holm
from audit_env.tools.affordances import levels, tool_name

KEY, TITLE = "without_tool", "What one tool adds"


def answer(frames: Frames) -> Answer:
    """Answer the question.

    Args:
        frames: What the logs say.

    Returns:
        One row for each auditor and tool, where it audited the same targets with and without it.
    """
    told = quirked(frames.audits)
    told = told.assign(mark=marks(told, "clean_detection"))
    rows = [row for auditor, part in told.groupby("auditor") for row in _of(str(auditor), part)]
    if not rows:
        return nothing(KEY, TITLE, "no auditor played the same targets at two levels that differ in a single tool")
    for row, adjusted in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = adjusted
    notes = (
        "Clean detection with the tool less without it, target by target (n targets; 95 % Student, sign-flip test). "
        "A tool that adds nothing here may add something where others are missing, or to another auditor.",
    )
    return Answer(KEY, TITLE, table_of(rows), notes, partial(_plot, rows))


def single_differences() -> dict[tuple[str, str], str]:
    """Levels of access that differ in one tool.

    Returns:
        The tool, by the level with it and the level without it.
    """
    tools = {name: frozenset(level.tools) for name, level in levels().items()}
    return {
        (more, fewer): tool_name(next(iter(tools[more] - tools[fewer])))
        for more, fewer in permutations(tools, 2)
        if tools[fewer] < tools[more] and len(tools[more] - tools[fewer]) == 1
    }


def _of(auditor: str, part: pd.DataFrame) -> list[Cells]:
    rates = {str(level): by_target(audits, "mark") for level, audits in part.groupby("affordance")}
    rows = []
    for (more, fewer), tool in single_differences().items():
        if more not in rates or fewer not in rates:
            continue
        shared = sorted(set(rates[more].index) & set(rates[fewer].index))
        found = compare(list(rates[more][shared]), list(rates[fewer][shared]))
        if len(shared) > 1:
            rows.append(
                {
                    "auditor": auditor,
                    "tool": tool,
                    "with": more,
                    "without": fewer,
                    "difference": found.difference,
                    "difference_low": found.low,
                    "difference_high": found.high,
                    "difference_n": found.targets,
                    "p": found.p,
                    "smallest_effect": found.smallest,
                }
            )
    return rows


def _plot(rows: list[Cells]) -> object:
    named = [row | {"what": f"{row['tool']} ({row['with']})"} for row in rows]
    return plots.ranges(table_of(named), "difference", "what", "auditor", "difference", (-1, 1))
