"""How large a batch may be, and how sequences are divided into batches."""

from collections.abc import Sequence

MAX_ROWS = 64
"""Rows of a batch. Beyond 64, a CPU hardly gains speed per row."""

READ_ROWS = 256
"""Rows of a batch that is only read at its last token. A scan's short rows fill the processor later than whole answers:
four times as many take three quarters of the time."""

MAX_POSITIONS = 4096
"""Positions, padding included, of a batch of whole sequences: bounds its activations."""

CACHE_POSITIONS = 512 * MAX_ROWS
"""Positions that the running rows may fill together: bounds the cache where rows are long."""


def batches(lengths: Sequence[int], most: int = MAX_ROWS) -> list[list[int]]:
    """Divide sequences into batches of similar length. The division depends on the lengths alone.

    Args:
        lengths: Length of each sequence.
        most: Sequences of a batch at most.

    Returns:
        Numbers of the sequences of each batch.
    """
    found: list[list[int]] = []
    for number in sorted(range(len(lengths)), key=lambda number: lengths[number], reverse=True):
        # Longest first: the first sequence of a batch sets its width.
        if found and len(found[-1]) < most and (len(found[-1]) + 1) * lengths[found[-1][0]] <= MAX_POSITIONS:
            found[-1].append(number)
        else:
            found.append([number])
    return found
