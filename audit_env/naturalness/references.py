"""Published figures that a report on a larger model may be read beside."""

from functools import cache
from importlib.resources import files
from typing import Literal

import yaml

from audit_env.catalog.models import Strict


class Reference(Strict):
    """A published figure."""

    row: str
    """The row of ours that comes closest."""
    what: str
    """Models and protocol."""
    base: float | str
    organism: float | str
    tag: Literal["P", "IND", "T2"]
    """P: read in the primary source. IND: an independent re-run. T2: told by somebody who read an image of it."""
    source: str


@cache
def references() -> tuple[Reference, ...]:
    """All published figures at hand, in the order of their file."""
    text = (files("audit_env.naturalness") / "data" / "references.yaml").read_text(encoding="utf-8")
    return tuple(Reference.model_validate(each) for each in yaml.safe_load(text))
