"""Sheets out of logs, and which of them may stand beside each other."""

from collections.abc import Sequence
from pathlib import Path

from audit_env.errors import ParameterError
from audit_env.game.logs import carried_by
from audit_env.naturalness.naturalness_eval import sheet_of
from audit_env.naturalness.sheet import Naturalness
from audit_env.naturalness.zoo import finished


def sheets_in(paths: Sequence[str]) -> list[Naturalness]:
    """The sheets of logs, and of folders that `audit-env naturalness zoo` filled.

    Args:
        paths: Logs and folders.

    Returns:
        The sheets, log by log; of a folder the newest of each organism.

    Raises:
        ParameterError: If a log cannot be read, or one holds none.
    """
    found: list[Naturalness] = []
    for path in paths:
        logs = sorted(finished(Path(path)).values()) if Path(path).is_dir() else [path]
        if not logs:
            raise ParameterError(f"{path}: holds no finished log of a zoo; make them with  audit-env naturalness zoo")
        for log in logs:
            found += carried_by(log, sheet_of, what="report of naturalness", task="tasks/naturalness.py")
    return found


def joined(found: Sequence[Naturalness]) -> list[Naturalness]:
    """Sheets that may stand in one table.

    Args:
        found: The sheets.

    Returns:
        The same.

    Raises:
        ParameterError: If they came about under different conditions, or of one organism there are two.
    """
    first = found[0]
    for other in found[1:]:
        for field, value in first.conditions.model_dump().items():
            theirs = getattr(other.conditions, field)
            if theirs != value:
                raise ParameterError(
                    f"'{first.organism}' and '{other.organism}' cannot be joined: field '{field}' of their conditions "
                    f"is {value} and {theirs}; measure them alike."
                )
    names = [sheet.organism for sheet in found]
    for name in names:
        if names.count(name) > 1:
            raise ParameterError(f"'{name}' is in the logs twice; name the one log that you mean.")
    return list(found)
