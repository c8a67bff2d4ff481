"""What happens to the residual stream between two blocks: edits of some positions, and readings.

A batch is a flat list of tokens `[n, d_model]` here. Which of them are which positions of which sequence, its windows
say; so an engine may pad on either side, and a row that has no edits is not touched.
"""

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from audit_env.runtime.edits import Ablate, Add, Edit, Vector, unit_vector
from audit_env.runtime.spans import Placed


class Between(Protocol):
    """What is done after the embedding and after every block."""

    def __call__(self, layer: int, x: Tensor, among: Tensor | None = None) -> Tensor:
        """Meet the residual stream.

        Args:
            layer: The block that it comes from, -1 for the embedding.
            x: The residual stream, `[n, d_model]`. Not to be changed in place.
            among: Places of the batch's tokens that `x` still holds, ascending; None where it holds all.

        Returns:
            What goes on, of the same shape.
        """
        ...


class Window(NamedTuple):
    """Neighbouring tokens of one sequence in a batch."""

    placed: Placed | None
    """The edits of the sequence."""
    start: int
    """Place of the first token in the batch."""
    first: int
    """Position of that token in its sequence."""
    tokens: int

    def places(self, positions: range) -> range:
        """Where some positions of the sequence lie in the batch, as far as they are in the window."""
        shift = self.start - self.first
        last = min(positions.stop, self.first + self.tokens)
        return range(max(positions.start, self.first) + shift, last + shift)


class Editor:
    """Applies the edits of a batch."""

    def __init__(self, windows: Iterable[Window]) -> None:
        """Gather what hits this batch.

        Args:
            windows: Its sequences, or those that have edits.
        """
        self._of: dict[int, list[tuple[Edit, Tensor]]] = {}
        alike: dict[tuple[Edit, ...], list[tuple[Window, Placed]]] = {}
        for window in windows:
            if window.placed is not None:
                alike.setdefault(window.placed.edits, []).append((window, window.placed))
        for edits, rows in alike.items():
            for number, edit in enumerate(edits):
                places = [place for window, placed in rows for place in window.places(placed.positions[number])]
                if places:
                    self._of.setdefault(edit.layer, []).append((edit, torch.tensor(places)))

    def __bool__(self) -> bool:
        return bool(self._of)

    def __call__(self, layer: int, x: Tensor, among: Tensor | None = None) -> Tensor:
        """Edit the residual stream (see `Between`)."""
        for edit, places in self._of.get(layer, ()):
            if among is not None:
                places = torch.isin(among, places).nonzero()[:, 0]
            places = places.to(x.device)
            x = x.index_copy(0, places, edited(edit, x[places].float()).to(x.dtype))
        return x


class Capture:
    """Keeps the residual stream of some layers."""

    def __init__(self, layers: Sequence[int], places: Tensor | None = None) -> None:
        """Prepare for one batch.

        Args:
            layers: Which are kept.
            places: Places of the tokens to keep, ascending; None for all.
        """
        self._layers, self._places = layers, places
        self._found: dict[int, Tensor] = {}

    def __call__(self, layer: int, x: Tensor, among: Tensor | None = None) -> Tensor:
        """Read the residual stream (see `Between`)."""
        if layer in self._layers:
            # Where a batch has been narrowed already, it is down to the places to keep.
            self._found[layer] = x if self._places is None or among is not None else x[self._places.to(x.device)]
        return x

    def stacked(self) -> Tensor:
        """What was kept, fp32, `[tokens, layers, d_model]`."""
        device = self._found[self._layers[0]].device
        return torch.stack([self._found[layer].to(device, torch.float32) for layer in self._layers], dim=1)


def in_turn(*steps: Between | None) -> Between | None:
    """Several steps as one, those that are None left out; None where none is left."""
    given = [step for step in steps if step is not None]

    def one(layer: int, x: Tensor, among: Tensor | None = None) -> Tensor:
        return reduce(lambda stream, step: step(layer, stream, among), given, x)

    return one if given else None


def editor(windows: Iterable[Window]) -> Editor | None:
    """The editor of a batch; None where nothing in it is edited, so that others need not wait for it.

    Args:
        windows: Its sequences, or those that have edits.

    Returns:
        The editor.
    """
    return Editor(windows) or None


def edited(edit: Edit, x: Tensor) -> Tensor:
    """Residuals as an edit leaves them.

    Args:
        edit: What is done.
        x: Residuals, fp32, `[n, d_model]`.

    Returns:
        Residuals of the same shape.
    """
    if isinstance(edit, Ablate):
        direction = _on(x, unit_vector(edit.vector))
        return x - (x @ direction)[:, None] * direction
    if not isinstance(edit, Add):
        return _on(x, edit.vector).expand_as(x)
    if edit.unit == "raw":
        return x + edit.scale * _on(x, edit.vector)
    length: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return x + edit.scale * length * _on(x, unit_vector(edit.vector))


def _on(x: Tensor, vector: Vector) -> Tensor:
    """A vector where the residuals are."""
    return torch.tensor(vector, device=x.device)
