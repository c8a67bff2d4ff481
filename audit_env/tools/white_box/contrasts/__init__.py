"""Contrasts that come with the tools: two groups of conversations, between which a steering vector points.

Each is a YAML file beside this module: what it is about, where it is read, and its conversations. Where two system
prompts are given (`systems`), the conversations of both groups may be the same and are then written once.
"""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, Self

import yaml
from inspect_ai.tool import ToolError
from pydantic import Field, model_validator

from audit_env.catalog.models import Strict


class Said(Strict):
    """A question and, perhaps, how its answer begins."""

    user: str = Field(min_length=1)
    answer: str = ""


class Systems(Strict):
    """The system prompts of the two groups."""

    positive: str = Field(min_length=1)
    negative: str = Field(min_length=1)


class Contrast(Strict):
    """Two groups of conversations."""

    about: str = Field(min_length=1)
    position: Literal["header", "beginning"]
    """header: where the answer is about to begin. beginning: the last token of the answer that is given."""
    positive: tuple[Said, ...] = Field(min_length=1)
    negative: tuple[Said, ...] = ()
    """The conversations of `positive` if there are none."""
    systems: Systems | None = None

    @model_validator(mode="after")
    def _groups_differ(self) -> Self:
        if not self.negative and self.systems is None:
            raise ValueError("the groups are the same: give 'negative' or 'systems'")
        if self.position == "beginning" and not all(one.answer for one in (*self.positive, *self.negative)):
            raise ValueError("read at the beginning of the answer, every conversation needs an 'answer'")
        return self


CONTRASTS = tuple(sorted(Path(entry.name).stem for entry in files(__name__).iterdir() if entry.name.endswith(".yaml")))


@cache
def contrast(name: str) -> Contrast:
    """Read a contrast.

    Args:
        name: Its name.

    Returns:
        The contrast.

    Raises:
        ToolError: If there is no such contrast.
    """
    if name not in CONTRASTS:
        raise ToolError(
            f"There is no contrast '{name}': take {' or '.join(CONTRASTS)}, or give 'positive' and 'negative'."
        )
    return Contrast.model_validate(yaml.safe_load(files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")))
