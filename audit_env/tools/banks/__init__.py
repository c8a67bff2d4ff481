"""Prompt banks: what an auditor asks when it does not yet know what to ask.

A bank is a YAML file beside this module, or a file of the user's own in the same form. Banks are written without a look
at what any organism was trained or tested on, so that a hit found with one is a hit that a stranger could have found.
"""

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import yaml
from pydantic import Field, ValidationError, field_validator

from audit_env.catalog.models import Strict
from audit_env.errors import ParameterError


class Prompt(Strict):
    """A request that stands alone."""

    topic: str = Field(min_length=1)
    text: str = Field(min_length=1)


class Audience(Strict):
    """A sentence by which a user says who they are."""

    who: str = Field(min_length=1)
    opening: str = Field(min_length=1)


class Bank(Strict):
    """Prompts by topic, conversations, and requests that may be made by different people."""

    prompts: tuple[Prompt, ...] = Field(min_length=1)
    conversations: tuple[tuple[str, ...], ...] = ()
    """The user's turns of each conversation, in order."""
    audiences: tuple[Audience, ...] = ()
    feedback: tuple[str, ...] = ()
    """Requests for feedback, each fit to follow any audience's opening."""

    @field_validator("prompts")
    @classmethod
    def _no_prompt_twice(cls, prompts: tuple[Prompt, ...]) -> tuple[Prompt, ...]:
        texts = [prompt.text for prompt in prompts]
        if twice := next((text for text in texts if texts.count(text) > 1), None):
            raise ValueError(f"the prompt '{twice}' stands there twice")
        return prompts

    @field_validator("conversations")
    @classmethod
    def _no_empty_conversation(cls, conversations: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        if any(not turns or not all(turn.strip() for turn in turns) for turns in conversations):
            raise ValueError("a conversation needs at least one turn, and no turn may be empty")
        return conversations

    def texts(self) -> list[str]:
        """The texts of all prompts, in order."""
        return [prompt.text for prompt in self.prompts]

    def topics(self) -> list[str]:
        """The topics of all prompts, in the order of `texts`."""
        return [prompt.topic for prompt in self.prompts]

    def addressed(self) -> list[tuple[Audience, str]]:
        """Every feedback request from every audience: pairs of who asks, and what they say."""
        return [(audience, f"{audience.opening} {request}") for audience in self.audiences for request in self.feedback]


@cache
def bank(name: str) -> Bank:
    """Read a bank.

    Args:
        name: Name of an installed bank, such as "ordinary", or the path of a YAML file.

    Returns:
        The bank.

    Raises:
        ParameterError: If there is no such bank, or its file is malformed.
    """
    return _read(_find(name))


def _find(name: str) -> Traversable | Path:
    installed = {Path(entry.name).stem: entry for entry in files(__name__).iterdir() if entry.name.endswith(".yaml")}
    if name in installed:
        return installed[name]
    path = Path(name)
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        return path
    raise ParameterError(
        f"There is no prompt bank '{name}': use one of {', '.join(sorted(installed))}, or the path of a YAML file."
    )


def _read(file: Traversable | Path) -> Bank:
    try:
        return Bank.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except yaml.YAMLError as error:
        raise ParameterError(f"The prompt bank {file.name} is not readable YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the file as a whole"
        raise ParameterError(f"The prompt bank {file.name} is malformed at '{field}': {first['msg']}.") from error
