"""Which tools the fair test is of."""

from collections.abc import Sequence

from audit_env.game.parameters import each_of
from audit_env.tools.affordances import level_of, levels, tool_name

WIDEST = "everything"
"""The level with all tools but the search of the training data, which has no query of its own."""


def chosen_tools(names: str | Sequence[str] | None) -> list[str]:
    """The tools that a parameter names.

    Args:
        names: Names of tools of any level, one, a list or with commas; None for all of the widest level.

    Returns:
        Module and function of each.

    Raises:
        ParameterError: If no level has a tool of that name.
    """
    if names is None:
        return list(level_of(WIDEST).tools)
    known = {tool_name(path): path for level in levels().values() for path in level.tools}
    return [known[name] for name in each_of(names, list(known), "tools")]
