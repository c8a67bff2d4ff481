"""Reading one log whole, and what its scores carry."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from inspect_ai.log import EvalLog, read_eval_log
from inspect_ai.scorer import Score

from audit_env.errors import ParameterError

Carried = TypeVar("Carried")


def read_log(source: str | Path) -> EvalLog:
    """Read a log with all its samples.

    Args:
        source: Its file.

    Returns:
        The log.

    Raises:
        ParameterError: If it cannot be read.
    """
    try:
        return read_eval_log(str(source))
    except (ValueError, OSError, KeyError) as error:
        raise ParameterError(
            f"'{source}' cannot be read as an Inspect log ({error}): give a .eval or .json file of inspect eval."
        ) from error


def carried_by(
    source: str | Path, carried: Callable[[Score], Carried | None], *, what: str, task: str
) -> list[Carried]:
    """What the scores of a log carry.

    Args:
        source: Its file.
        carried: Gives what one score carries; None where it is of something else.
        what: What is looked for, such as "evidence of tools".
        task: The file of the task that makes it.

    Returns:
        All there is, sample by sample.

    Raises:
        ParameterError: If the log cannot be read, or there is none.
    """
    scores = (score for sample in read_log(source).samples or [] for score in (sample.scores or {}).values())
    found = [one for score in scores if (one := carried(score)) is not None]
    if not found:
        raise ParameterError(f"'{source}' holds no {what}: run  inspect eval {task}  first.")
    return found
