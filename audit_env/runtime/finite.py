"""Numbers that are none: a model whose weights overflow must not go on in silence, since any token can follow NaN."""

from collections.abc import Iterable

import numpy as np

from audit_env.errors import WeightsError
from audit_env.runtime.subject import Floats


class NotFinite(WeightsError):
    """A model computed NaN or infinity."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"'{name}' computes NaN or infinity in place of numbers: lower the dose or the edits if there are any, and "
            "otherwise breed or download its weights again."
        )


def check_finite(name: str, readings: Iterable[Floats]) -> None:
    """Check that readings are numbers.

    Args:
        name: Whose readings they are.
        readings: Arrays of any shape.

    Raises:
        NotFinite: If one holds NaN or infinity.
    """
    if not all(np.isfinite(one).all() for one in readings):
        raise NotFinite(name)
