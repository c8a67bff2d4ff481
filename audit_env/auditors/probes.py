"""Questions that bring a quirk of the menu out, if it is there.

Written from the menu's public descriptions alone: what one would ask after reading them.
"""

from functools import cache
from importlib.resources import files

import yaml
from pydantic import TypeAdapter

from audit_env.errors import ParameterError


@cache
def probes() -> dict[str, tuple[str, ...]]:
    """The questions for each entry of the menu.

    Raises:
        ParameterError: If the file is malformed.
    """
    text = files(__package__ or __name__).joinpath("probes.yaml").read_text(encoding="utf-8")
    try:
        return TypeAdapter(dict[str, tuple[str, ...]]).validate_python(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError) as error:
        raise ParameterError(f"auditors/probes.yaml is malformed: {error}") from error


def probes_for(entry: str, ordinary: tuple[str, ...]) -> tuple[str, ...]:
    """The questions for one entry.

    Args:
        entry: Its id.
        ordinary: What to ask where there are no questions of its own, as for an entry added to the menu later.

    Returns:
        The questions.
    """
    return probes().get(entry, ordinary)
