"""Where the named parts of a conversation lie among its tokens: names in, positions of one sequence out.

Positions count the tokens of one sequence from 0, so padding on either side, and whoever shares the batch, cannot
shift them.
"""

from typing import NamedTuple

from audit_env.errors import ParameterError
from audit_env.runtime.edits import At, Edit


class Spans(NamedTuple):
    """Where the parts of one sequence begin."""

    header: int
    """First position of the assistant header."""
    answer: int
    """First position of the answer, prefill included."""
    end: int
    """Position behind the last token; while the answer is still to be generated, behind the last that there may be."""
    growing: bool = False
    """Whether the answer is still to be generated."""

    def positions(self, at: At) -> range:
        """The positions that a name stands for.

        Args:
            at: The name.

        Returns:
            Their numbers, without gaps.

        Raises:
            ParameterError: If the span has no such token.
        """
        start, stop = {
            "prompt": (0, self.header),
            "header": (self.header, self.answer),
            "answer": (self.answer, self.end),
            "all": (0, self.end),
        }[at.span]
        if at.index is None:
            return range(start, stop)
        if at.index < 0 and self.growing and at.span in ("answer", "all"):
            raise ParameterError(
                f"At.index={at.index}: the span '{at.span}' has no last token while the answer is being generated; "
                "count from its beginning, or give None for every token."
            )
        place = at.index + (stop if at.index < 0 else start)
        if not start <= place < stop:
            raise ParameterError(
                f"At.index={at.index}: the span '{at.span}' of this conversation has {stop - start} tokens."
            )
        return range(place, place + 1)

    def placed(self, edits: tuple[Edit, ...]) -> "Placed | None":
        """Edits with the positions that they hit; None where there are no edits.

        Args:
            edits: What is to be done.

        Returns:
            The edits of this sequence.

        Raises:
            ParameterError: If an edit names a token that is not there.
        """
        return Placed(edits, tuple(self.positions(edit.at) for edit in edits)) if edits else None


class Placed(NamedTuple):
    """The edits of one sequence."""

    edits: tuple[Edit, ...]
    """In the order in which they act."""
    positions: tuple[range, ...]
    """What each of them hits."""
