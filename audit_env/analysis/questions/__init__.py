"""The questions that logs answer, each a table and a plot, in the order of the report."""

from collections.abc import Callable

from audit_env.analysis.answers import Answer
from audit_env.analysis.frames import Frames
from audit_env.analysis.questions import (
    aggregation,
    by_quirk,
    calibrated,
    confusion,
    cost,
    detection,
    dose,
    effort,
    hierarchical,
    leaks,
    naturalness,
    naturalness_rows,
    paired,
    people,
    persistence,
    phenotype,
    published,
    roc,
    tool_gap,
    tools,
    without_tool,
)

QUESTIONS: dict[str, Callable[[Frames], Answer]] = {
    module.KEY: module.answer
    for module in (
        detection,
        by_quirk,
        roc,
        calibrated,
        confusion,
        leaks,
        effort,
        cost,
        paired,
        hierarchical,
        aggregation,
        people,
        tools,
        tool_gap,
        without_tool,
        naturalness_rows,
        naturalness,
        phenotype,
        persistence,
        dose,
        published,
    )
}
"""By short name: a function from frames to the answer."""
