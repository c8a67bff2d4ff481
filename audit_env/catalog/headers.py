"""What a safetensors file holds, read from its header alone: no tensor is loaded, and no torch."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from audit_env.catalog.reading import shown
from audit_env.errors import WeightsError

Shape = tuple[int, ...]

# Size in bytes of the number formats that weights come in. The whole numbers are masks and packed weights.
_WIDTHS = {
    **{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1},
    **{"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1},
}

# The format's own limit on its header, https://huggingface.co/docs/safetensors
_LONGEST_HEADER = 100_000_000


class Tensor(NamedTuple):
    """A tensor in a file."""

    dtype: str
    shape: Shape
    start: int
    """First byte of its data in the file."""
    end: int
    """The byte after its last."""

    @property
    def width(self) -> int:
        """Bytes of one number."""
        return _WIDTHS[self.dtype]


def shapes(path: Path) -> dict[str, Shape]:
    """Name and shape of every tensor in a safetensors file (see `tensors`)."""
    return {name: tensor.shape for name, tensor in tensors(path).items()}


def tensors(path: Path) -> dict[str, Tensor]:
    """What a safetensors file holds.

    The header is 8 bytes of length (little-endian), then that much JSON: name -> dtype, shape and the place of the
    data. The data must fill the rest of the file exactly, or the file is cut short or not what it says.

    Args:
        path: The file.

    Returns:
        Its tensors by name.

    Raises:
        WeightsError: The file is not a whole and sound safetensors file.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(_LONGEST_HEADER, path.stat().st_size - 8):
                raise ValueError("its header does not fit in it")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        extents = {name: _extent(name, entry) for name, entry in header.items()}
        data = 8 + length
        _check_contiguous(sorted(extents.values()), path.stat().st_size - data)
        return {
            name: Tensor(entry["dtype"], tuple(entry["shape"]), *(data + place for place in extents[name]))
            for name, entry in header.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(
            f"{shown(path)}: not a sound safetensors file ({error}); put the original file back or breed it again."
        ) from error


def _extent(name: str, entry: Mapping[str, Any]) -> tuple[int, int]:
    """First byte of a tensor's data and the byte after its last."""
    start, end = entry["data_offsets"]
    if entry["dtype"] not in _WIDTHS:
        raise ValueError(f"tensor '{name}' has the unknown format {entry['dtype']}")
    if end - start != _WIDTHS[entry["dtype"]] * math.prod(entry["shape"]):
        raise ValueError(f"tensor '{name}' does not have the size that its shape asks for")
    return start, end


def _check_contiguous(extents: list[tuple[int, int]], size: int) -> None:
    position = 0
    for start, end in extents:
        if start != position:
            raise ValueError("its tensors overlap or leave gaps")
        position = end
    if position != size:
        raise ValueError(f"it holds {size} bytes of data where its header promises {position}")
