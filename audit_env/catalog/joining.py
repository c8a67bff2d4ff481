"""Joins the shards of a model into one safetensors file, so that in a catalogue one hash stands for one model."""

import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from audit_env.catalog.headers import tensors

_CHUNK = 2**24


def join(shards: Sequence[Path], whole: Path) -> None:
    """Write the tensors of several safetensors files into one, a chunk at a time.

    Args:
        shards: The files, no two with a tensor of the same name.
        whole: The file to write. The order of its tensors depends on them alone: the widest number formats first, so
            that each lies where a reader may map it, then by name.

    Raises:
        WeightsError: A shard is not a sound safetensors file.
    """
    found = {name: (path, tensor) for path in shards for name, tensor in tensors(path).items()}
    ordered = sorted(found.items(), key=lambda item: (-item[1][1].width, item[0]))
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name, (_, tensor) in ordered:
        size = tensor.end - tensor.start
        header[name] = {
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "data_offsets": (position, position + size),
        }
        position += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with ExitStack() as opened, whole.open("wb") as out:
        files = {path: opened.enter_context(path.open("rb")) for path in shards}
        out.write(len(text).to_bytes(8, "little") + text)
        for _, (path, tensor) in ordered:
            _copy(files[path], out, tensor.start, tensor.end)


def _copy(source: BinaryIO, out: BinaryIO, start: int, end: int) -> None:
    source.seek(start)
    for position in range(start, end, _CHUNK):
        out.write(source.read(min(_CHUNK, end - position)))
