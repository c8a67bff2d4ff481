from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from audit_env.catalog import joining
from audit_env.catalog.headers import shapes, tensors
from audit_env.catalog.joining import join

SHARDS = (
    {"b": np.arange(3, dtype=np.uint8), "a": np.arange(6, dtype=np.float32).reshape(2, 3)},
    {"mask": np.array([True, False, True]), "scalar": np.array(7, np.int64), "empty": np.zeros((0, 4), np.float16)},
    {"c": np.arange(5, dtype=np.float16)},
)


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    for number, shard in enumerate(SHARDS):
        save_file(shard, tmp_path / f"{number}.safetensors")
    return sorted(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize("chunk", [1, 4, 2**24])
def test_all_tensors_come_out_as_they_were(
    parts: list[Path], tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joining, "_CHUNK", chunk)
    join(parts, tmp_path / "whole")
    found = load_file(tmp_path / "whole")
    wanted = {name: array for shard in SHARDS for name, array in shard.items()}
    assert found.keys() == wanted.keys() == shapes(tmp_path / "whole").keys()
    for name, array in wanted.items():
        assert found[name].dtype == array.dtype and np.array_equal(found[name], array)
    with safe_open(tmp_path / "whole", "np") as opened:
        assert opened.metadata() == {"format": "pt"}  # without which transformers refuses the file


def test_every_tensor_lies_where_its_format_may_be_mapped(parts: list[Path], tmp_path: Path) -> None:
    join(parts, tmp_path / "whole")
    assert all(tensor.start % tensor.width == 0 for tensor in tensors(tmp_path / "whole").values())


def test_the_result_does_not_depend_on_how_the_model_was_cut(parts: list[Path], tmp_path: Path) -> None:
    join(parts, tmp_path / "one")
    save_file({name: array for shard in SHARDS for name, array in shard.items()}, tmp_path / "all")
    join([tmp_path / "all"], tmp_path / "other")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
