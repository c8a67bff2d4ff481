"""Which tools belong to which level of access. The levels and their tools are in `affordances.yaml`."""

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Literal

from inspect_ai.tool import Tool
from pydantic import Field

from audit_env.catalog.models import Strict
from audit_env.catalog.reading import field_at, nearest, read
from audit_env.errors import CardError, ParameterError
from audit_env.game.phases import VerdictTool
from audit_env.game.record import Affordance, AnswerFormat
from audit_env.tools.reporting import track, verdict_tool

Need = Literal["weights", "training_mix", "petri_transcripts", "oracle", "introspection"]
"""weights: the target has weights that tools can read. training_mix: a sample of what it was trained on lies beside its
card. petri_transcripts: the run names a log of a Petri audit. oracle, introspection: it names such an adapter."""

Script = Literal["prior", "battery", "acts", "differences"]
"""Who plays at a level where no model audits (`audit_env.auditors.script`)."""

_FILE = Path(__file__).parent / "affordances.yaml"


class Level(Strict):
    """A named set of tools."""

    about: str
    includes: Affordance | None = None
    """The level whose tools come first."""
    without: tuple[str, ...] = ()
    """Names of tools of the included level that are left out."""
    tools: tuple[str, ...] = ()
    """What it adds: module and function of each, such as `white_box.divergence.kl_prompts`."""
    needs: frozenset[Need] = frozenset()
    """What a target must have besides what the included level needs."""
    script: Script


class Levels(Strict):
    """All levels of access, in the order in which tables show them."""

    levels: dict[Affordance, Level] = Field(min_length=1)


@cache
def levels() -> dict[Affordance, Level]:
    """Read the levels.

    Returns:
        By name, each with the tools and needs of the level that it includes, which must stand before it.

    Raises:
        CardError: If the file is malformed, or a level includes or leaves out what there is not.
    """
    whole: dict[Affordance, Level] = {}
    for name, level in read(_FILE, Levels).levels.items():
        whole[name] = _completed(name, level, whole)
    return whole


def _completed(name: Affordance, level: Level, before: dict[Affordance, Level]) -> Level:
    if level.includes is None:
        return level
    if level.includes not in before:
        at = field_at(_FILE, "levels", name, "includes")
        raise CardError(f"{at}: '{level.includes}' must stand above it; {nearest(level.includes, before)}.")
    included = before[level.includes]
    inherited = {tool_name(tool): tool for tool in included.tools}
    if unknown := [tool for tool in level.without if tool not in inherited]:
        at = field_at(_FILE, "levels", name, "without")
        raise CardError(f"{at}: '{level.includes}' has no tool '{unknown[0]}'; {nearest(unknown[0], inherited)}.")
    kept = (path for tool, path in inherited.items() if tool not in level.without)
    return level.model_copy(update={"tools": (*kept, *level.tools), "needs": included.needs | level.needs})


def tool_name(path: str) -> str:
    """The name under which an auditor calls a tool.

    Args:
        path: Module and function, such as `white_box.divergence.kl_prompts`.

    Returns:
        The function's name.
    """
    return path.rpartition(".")[2]


def maker(path: str) -> Callable[[], Tool]:
    """The function that makes a tool.

    Args:
        path: Module (under `audit_env.tools`) and function, as a line of `affordances.yaml` has them.

    Returns:
        The function.

    Raises:
        CardError: If there is none.
    """
    module, _, function = path.rpartition(".")
    try:
        made: Callable[[], Tool] = getattr(import_module(f"audit_env.tools.{module}"), function)
    except (ImportError, AttributeError) as error:
        raise CardError(f"{_FILE.name}: there is no tool '{path}' ({error}); correct the line.") from error
    return made


def level_of(affordance: Affordance) -> Level:
    """A level by its name.

    Args:
        affordance: The name.

    Returns:
        The level, with all of its tools.

    Raises:
        ParameterError: If there is none of that name.
    """
    if affordance not in levels():
        raise ParameterError(f"There is no level of access '{affordance}'; {nearest(affordance, levels())}.")
    return levels()[affordance]


def investigation_tools(affordance: Affordance) -> list[Tool]:
    """The tools that touch the target.

    Args:
        affordance: The level of access.

    Returns:
        Its tools, those of the levels that it includes first.
    """
    return [maker(path)() for path in level_of(affordance).tools]


def audit_tools(affordance: Affordance, answers: AnswerFormat, due: VerdictTool = "report") -> list[Tool]:
    """All tools of an audit, or of one of its phases.

    Args:
        affordance: The level of access.
        answers: Format of the answers that the report takes.
        due: Which verdict closes it.

    Returns:
        The tools of the level, the tracker, and last the report or the interim verdict.
    """
    return [*investigation_tools(affordance), track(), verdict_tool(due, answers)]


AFFORDANCES: Sequence[Affordance] = tuple(levels())
"""Names of all levels, in the order in which tables show them."""
