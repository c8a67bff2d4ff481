"""Parameters as people type them: `-T x=a`, `-T x=a,b`, `-T x=1e-3`.

Inspect hands a task a string, a number, a bool or a list, depending on how the value looks. The functions here turn
that into what the task means, and say in one sentence what is wrong with a value that means nothing. A parameter whose
*name* is mistyped never gets here: Inspect warns ("param ... not used by task") and runs on with the default.
"""

import math
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from inspect_ai._util.error import PrerequisiteError
from rich.text import Text

from audit_env.catalog.reading import nearest
from audit_env.errors import AuditEnvError, ParameterError

Name = TypeVar("Name", bound=str)


@contextmanager
def one_sentence() -> Generator[None]:
    """Show the user an error of ours as its one sentence, without a traceback.

    Use it as the decorator below `@task`. Inspect prints a `PrerequisiteError` as it stands, and every other error with
    the whole stack.

    Raises:
        PrerequisiteError: In place of any `AuditEnvError`.
    """
    try:
        yield
    except AuditEnvError as error:
        # As Text, because Inspect prints through rich, which would take brackets in a plain string for markup.
        raise PrerequisiteError(Text(str(error))) from error


def one_of(value: object, valid: Collection[Name], parameter: str) -> Name:
    """One name out of a list of valid ones.

    Args:
        value: What was typed.
        valid: The valid names.
        parameter: The parameter's name, for the error.

    Returns:
        The name.

    Raises:
        ParameterError: If it is none of the valid ones; the error names the nearest.
    """
    for name in valid:
        if value == name:
            return name
    raise ParameterError(f"Parameter '{parameter}' cannot be '{value}'; {nearest(str(value), valid)}.")


def each_of(value: str | Sequence[str], valid: Collection[Name], parameter: str) -> list[Name]:
    """Several names out of a list of valid ones, given as one, as a list or with commas.

    Args:
        value: What was typed.
        valid: The valid names.
        parameter: The parameter's name, for the error.

    Returns:
        The names in the order given, each once.

    Raises:
        ParameterError: If there is none, or one is not valid.
    """
    names = items(value)
    if not names:
        raise ParameterError(f"Parameter '{parameter}' is empty. Valid names: {', '.join(valid)}.")
    return list(dict.fromkeys(one_of(name, valid, parameter) for name in names))


def items(value: object) -> list[str]:
    """A list of words, given as one, as a list or with commas.

    Args:
        value: What was typed.

    Returns:
        The words, without white space around them and without empty ones.
    """
    parts: Sequence[object] = list(value) if isinstance(value, (list, tuple)) else [value]
    return [word for part in parts for piece in str(part).split(",") if (word := piece.strip())]


def text_or_none(value: object, parameter: str) -> str | None:
    """A name or a path, which may look like a number (`-T root=2024`); None where nothing was typed.

    Args:
        value: What was typed.
        parameter: The parameter's name, for the error.

    Returns:
        The text.

    Raises:
        ParameterError: If it is empty, or no single text.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        raise ParameterError(f"Parameter '{parameter}' must be one name or path, not '{value}'.")
    return str(value)


def whole_number(value: object, parameter: str, *, least: int = 0) -> int:
    """A whole number, given as a number or as text (`40`, `"40"`, `"1e3"`).

    Args:
        value: What was typed.
        parameter: The parameter's name, for the error.
        least: The smallest valid number.

    Returns:
        The number.

    Raises:
        ParameterError: If it is not a whole number, or too small.
    """
    try:
        number = float(str(value)) if not isinstance(value, bool) else float("nan")
    except ValueError:
        number = float("nan")
    if not number.is_integer() or number < least:
        raise ParameterError(f"Parameter '{parameter}' must be a whole number of at least {least}, not '{value}'.")
    return int(number)


def share_or_count(value: object, parameter: str) -> float | int:
    """A share (`0.8`) or a count (`20000`, `"1e4"`).

    Args:
        value: What was typed.
        parameter: The parameter's name, for the error.

    Returns:
        A float up to 1, or an int above it.

    Raises:
        ParameterError: If it is neither.
    """
    try:
        number = float(str(value)) if not isinstance(value, bool) else math.nan
    except ValueError:
        number = math.nan
    if 0 < number <= 1:
        return number
    if number > 1 and number.is_integer():
        return int(number)
    raise ParameterError(f"Parameter '{parameter}' must be a share above 0, or a whole number, not '{value}'.")


def yes_or_no(value: object, parameter: str) -> bool:
    """A switch, given as a truth value or as text (`true`, `"false"`).

    Args:
        value: What was typed.
        parameter: The parameter's name, for the error.

    Returns:
        Whether it is on.

    Raises:
        ParameterError: If it is neither true nor false.
    """
    return one_of(str(value).lower(), ("true", "false"), parameter) == "true"
