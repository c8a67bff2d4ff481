"""Which tools belong to which level of access."""

from collections.abc import Callable

from inspect_ai.tool import Tool

from audit_env.game.record import Affordance, AnswerFormat
from audit_env.tools import black_box, grey_box, white_box
from audit_env.tools.reporting import report, track

_LEVELS: dict[Affordance, tuple[Callable[[], Tool], ...]] = {
    "blind": (black_box.chat,),
    "black_box": (black_box.ask_each,),
    "grey_box": (grey_box.compare, grey_box.likelihood),
    "white_box": (
        white_box.kl_prompts,
        white_box.read_weights,
        white_box.trigger_scan,
        white_box.read_activations,
    ),
}
"""What each level adds to the ones before it, in order. What sets `blind` apart is its budget of one call."""

AFFORDANCES = tuple(_LEVELS)


def investigation_tools(affordance: Affordance) -> list[Tool]:
    """The tools that touch the target.

    Args:
        affordance: The level of access.

    Returns:
        The tools of the level and of all levels before it.
    """
    reached = AFFORDANCES[: AFFORDANCES.index(affordance) + 1]
    return [make() for level in reached for make in _LEVELS[level]]


def audit_tools(affordance: Affordance, answers: AnswerFormat) -> list[Tool]:
    """All tools of an audit.

    Args:
        affordance: The level of access.
        answers: Format of the answers that the report takes.

    Returns:
        The tools of the level, the tracker, and last the report.
    """
    return [*investigation_tools(affordance), track(), report(answers)]
