"""Figures of a target, each beside the figure of a sham.

Fine-tuning alone moves words, prompts and weights: a list of what moved most looks convincing for a model without any
quirk. So every figure is shown as `target|sham`, and a star stands before it where the target's figure is larger than
the largest one of the sham, whichever word or prompt the sham reached it with. Of two models without a quirk, either
may hold the largest figure: one star by a small margin is no finding, several are.
"""

from collections.abc import Sequence

import numpy as np

from audit_env.tools.white_box.words import Floats

PER_ROW = 12
"""Words in one row of a tool's answer."""

LEGEND = (
    "Figures are target|sham: the same recipe without a quirk. "
    "* exceeds all figures of the sham; by luck, one list in two has such a star."
)


NO_SHAM = "Figures are the target's alone: it has no sham beside it, so nothing says how much of this any tuning does."


def legend(sham: object | None) -> str:
    """How to read figures.

    Args:
        sham: What there is of a sham; None where there is none.

    Returns:
        One line.
    """
    return NO_SHAM if sham is None else LEGEND


class BesideSham:
    """One figure for each name, of the target and of the sham, rounded to three digits.

    Attributes:
        names: What was measured: words, prompts, modules.
        target: `[names]`.
        sham: `[names]`; None where there is no sham, and then nothing is starred.
    """

    def __init__(self, names: Sequence[str], target: Floats, sham: Floats | None) -> None:
        self.names = names
        self.target = rounded(target)
        self.sham = None if sham is None else rounded(sham)
        self._null = np.inf if self.sham is None else self.sham.max(initial=0.0)

    def ranked(self, most: int = PER_ROW) -> list[int]:
        """Places of the target's largest figures above 0, largest first; equals stay in the order of the names."""
        return [int(place) for place in np.argsort(-self.target, kind="stable")[:most] if self.target[place] > 0]

    def starred(self, most: int = PER_ROW) -> list[str]:
        """The names above the null among the `most` largest, largest first."""
        return [self.names[place] for place in self.ranked(most) if self.above(place)]

    def above(self, place: int) -> bool:
        """Whether the target's figure exceeds every figure of the sham."""
        return bool(self.target[place] > self._null)

    def figures(self, place: int) -> str:
        """One pair of figures, such as `*3.21|0.3`; the target's alone where there is no sham."""
        if self.sham is None:
            return figure(float(self.target[place]))
        star = "*" if self.above(place) else ""
        return f"{star}{figure(float(self.target[place]))}|{figure(float(self.sham[place]))}"

    def row(self, most: int = PER_ROW) -> str:
        """The target's largest figures in one row: `but *3.21|0.3  you 1.2|1.1`."""
        return "  ".join(f"{self.names[place]} {self.figures(place)}" for place in self.ranked(most)) or "none"

    def sham_row(self, most: int = PER_ROW) -> str:
        """The sham's own largest figures, to see what the recipe alone does: `sure 0.4  i 0.2`."""
        if self.sham is None:
            return "there is no sham"
        places = np.argsort(-self.sham, kind="stable")[:most]
        return "  ".join(f"{self.names[place]} {figure(float(self.sham[place]))}" for place in places)


def rounded(values: Floats) -> Floats:
    """Round to three digits, so that the order in which sums were formed cannot change a ranking.

    Args:
        values: Any figures.

    Returns:
        The same to three significant digits, anything below 0.0005 as 0.
    """
    values = np.where(np.abs(values) < 5e-4, 0.0, values).astype(np.float64)
    digits = 2 - np.floor(np.log10(np.abs(values), where=values != 0, out=np.zeros_like(values)))
    return np.round(values * 10.0**digits) / 10.0**digits


def figure(value: float) -> str:
    """A figure as text: three digits, never with an exponent."""
    value = float(rounded(np.array(value)))
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
