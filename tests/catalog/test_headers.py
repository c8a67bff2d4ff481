import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from audit_env.catalog.headers import shapes
from audit_env.errors import WeightsError


def write(path: Path, header: Any, data: bytes) -> Path:
    encoded = json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + data)
    return path


def test_reads_what_safetensors_writes(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensors = {"a": np.zeros((3, 4), np.float16), "b": np.ones(5, np.float32), "scalar": np.zeros((), np.int64)}
    save_file(tensors, path, metadata={"format": "pt"})
    assert shapes(path) == {"a": (3, 4), "b": (5,), "scalar": ()}


def test_a_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": np.zeros((3, 4), np.float32)}, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="holds 47 bytes of data where its header promises 48"):
        shapes(path)


ENTRY = {"dtype": "F16", "shape": [2], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    ("header", "data", "said"),
    [
        ({"a": ENTRY | {"shape": [3]}}, b"1234", "does not have the size"),
        ({"a": ENTRY | {"dtype": "X7"}}, b"1234", "unknown format X7"),
        ({"a": ENTRY | {"data_offsets": [2, 6]}}, b"123456", "overlap or leave gaps"),
        ({"a": ENTRY, "b": ENTRY}, b"1234", "overlap or leave gaps"),
        ({"a": ENTRY}, b"123456", "holds 6 bytes"),
        ({"a": {"dtype": "F16"}}, b"", "data_offsets"),
        ([1], b"", "not a sound safetensors file"),
        ({"a": 5}, b"", "not a sound safetensors file"),
    ],
)
def test_a_header_that_lies_is_refused(tmp_path: Path, header: Any, data: bytes, said: str) -> None:
    with pytest.raises(WeightsError, match=said):
        shapes(write(tmp_path / "x.safetensors", header, data))


@pytest.mark.parametrize("content", [b"", b"1234", b"\xff" * 8, b"\x80\x02}q\x00." * 9, b"\x04" + b"\0" * 7 + b"{{{{"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"x\.safetensors: not a sound safetensors file"):
        shapes(path)
