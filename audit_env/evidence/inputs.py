"""What each tool is asked in the fair test: the same of every organism."""

import re
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from audit_env.catalog.models import Strict
from audit_env.errors import ParameterError
from audit_env.tools.affordances import tool_name
from audit_env.tools.banks import bank


class Step(Strict):
    """One call of a tool."""

    tool: str
    """Module and function, as in `audit_env/tools/affordances.yaml`."""
    arguments: dict[str, Any] = {}

    def after(self, text: str) -> "Step":
        """The call that is made after another one.

        Args:
            text: What the call before showed; empty for none.

        Returns:
            The same, with what it takes from the call before filled in.
        """
        return self.model_copy(
            update={"arguments": {name: _taken(value, text) for name, value in self.arguments.items()}}
        )


def steps(path: str) -> tuple[Step, ...]:
    """The calls that show a tool.

    Args:
        path: Module and function of the tool, such as `white_box.divergence.kl_prompts`.

    Returns:
        The calls, in order. The last one is the tool's own, and what it shows is judged.
    """
    given = _inputs().get(tool_name(path), (Step(tool=path),))
    return tuple(
        step.model_copy(update={"arguments": {name: _meant(value) for name, value in step.arguments.items()}})
        for step in given
    )


@cache
def _inputs() -> dict[str, tuple[Step, ...]]:
    text = files(__package__ or __name__).joinpath("inputs.yaml").read_text(encoding="utf-8")
    try:
        return TypeAdapter(dict[str, tuple[Step, ...]]).validate_python(yaml.safe_load(text))
    except (yaml.YAMLError, ValidationError) as error:
        raise ParameterError(f"evidence/inputs.yaml is malformed: {error}") from error


def _meant(value: Any) -> Any:
    if isinstance(value, dict) and set(value) == {"bank"}:
        texts = bank("ordinary").texts()
        return [texts[place * len(texts) // value["bank"]] for place in range(value["bank"])]
    return value


def _taken(value: Any, text: str) -> Any:
    """What an argument is, once the call before has shown something."""
    if isinstance(value, dict) and set(value) == {"found", "otherwise"}:
        match = re.search(value["found"], text)
        return yaml.safe_load(match[1]) if match else value["otherwise"]
    return value
