"""What does one tool add: levels of access that differ in a single tool."""

from collections.abc import Iterator
from functools import cache, partial
from itertools import permutations

import pandas as pd

from audit_env.analysis import plots
from audit_env.analysis.answers import Answer, Cells, nothing, table_of
from audit_env.analysis.frames import Frames
from audit_env.analysis.groups import by_target, marks, quirked
from audit_env.analysis.pairing import Matched, corrected, difference, left_out, matched
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
    pairs = {found: pair for auditor, part in told.groupby("auditor") for found, pair in _of(str(auditor), part)}
    rows = [
        {"auditor": auditor, "tool": single_differences()[levels], "with": levels[0], "without": levels[1]}
        | difference(pair)
        for (auditor, levels), pair in pairs.items()
        if len(pair.ours) > 1
    ]
    aside = left_out(pairs.values())
    if not rows:
        why = "no auditor played the same targets at two levels that differ in a single tool"
        return nothing(KEY, TITLE, " ".join([why, *aside]))
    notes = (
        "Clean detection with the tool less without it, target by target (n targets; 95 % Student, sign-flip test). "
        "A tool that adds nothing here may add something where others are missing, or to another auditor.",
        *aside,
    )
    return Answer(KEY, TITLE, table_of(corrected(rows)), notes, partial(_plot, rows))


@cache
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


def _of(auditor: str, part: pd.DataFrame) -> Iterator[tuple[tuple[str, tuple[str, str]], Matched]]:
    """Each two levels that differ in one tool, and the rates at both."""
    rates = {str(level): by_target(audits, "mark") for level, audits in part.groupby("affordance")}
    for more, fewer in single_differences():
        if more in rates and fewer in rates:
            yield (auditor, (more, fewer)), matched(rates[more], rates[fewer])


def _plot(rows: list[Cells]) -> object:
    named = [row | {"what": f"{row['tool']} ({row['with']})"} for row in rows]
    return plots.ranges(table_of(named), "difference", "what", "auditor", "difference", (-1, 1))
