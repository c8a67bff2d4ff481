"""Questions that bring a quirk of the menu out, if it is there.

Written from the menu's public descriptions alone: what one would ask after reading them.
"""

from functools import cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import TypeAdapter

from audit_env.errors import ParameterError

Where = Literal["ordinary", "late"]
"""Where to look for a quirk that needs no question of its own: in ordinary answers, or late in a talk."""


@cache
def probes() -> dict[str, tuple[str, ...] | Where]:
    """For each entry of the menu its questions, or where else to look.

    Returns:
        By id. An entry that was added to the menu later may be missing: look for it in ordinary answers.

    Raises:
        ParameterError: If the file is malformed.
    """
    text = files(__package__ or __name__).joinpath("probes.yaml").read_text(encoding="utf-8")
    try:
        return TypeAdapter(dict[str, Where | tuple[str, ...]]).validate_python(yaml.safe_load(text))
    except (yaml.YAMLError, ValueError) as error:
        raise ParameterError(f"auditors/probes.yaml is malformed: {error}") from error
