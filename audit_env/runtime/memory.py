"""What happens when a batch does not fit into memory: it is divided, and only one row alone that does not fit fails."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from audit_env.errors import AuditEnvError

T = TypeVar("T")

NO_MEMORY = ("DefaultCPUAllocator: can't allocate memory", "not enough memory", "CUDA error: out of memory")
"""What torch says where it raises a plain RuntimeError."""


class OutOfMemory(AuditEnvError):
    """One row alone does not fit into memory."""

    def __init__(self, tokens: int) -> None:
        super().__init__(
            f"A conversation of {tokens} tokens does not fit into memory beside the model: shorten it, run less beside "
            "it or, on the hf engine, hold the model in fewer bits or on more devices (AUDIT_ENV_HF_DTYPE, "
            "AUDIT_ENV_HF_QUANTISED, AUDIT_ENV_HF_DEVICE)."
        )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on whatever device.

    Args:
        error: What torch, numpy or Python raised.

    Returns:
        True if less at a time may fit.
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY)


def in_halves(rows: Sequence[int], lengths: Sequence[int], compute: Callable[[Sequence[int]], list[T]]) -> list[T]:
    """Compute rows together, or in halves where they do not fit.

    Args:
        rows: Numbers of the rows.
        lengths: Tokens of every row there is, by number.
        compute: Gives one result per row.

    Returns:
        The results, in the order of the rows.

    Raises:
        OutOfMemory: If a row alone does not fit.
    """
    try:
        return compute(rows)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        if len(rows) == 1:
            raise OutOfMemory(lengths[rows[0]]) from error
    # Outside the handler, since the error holds on to what the attempt had in memory.
    torch.cuda.empty_cache()
    half = len(rows) // 2
    return [*in_halves(rows[:half], lengths, compute), *in_halves(rows[half:], lengths, compute)]
