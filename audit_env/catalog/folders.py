"""A Hugging Face folder as it lies on the disk: its JSON files, and its weights, whole or in shards."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from audit_env.catalog.headers import Shape, shapes
from audit_env.catalog.reading import shown
from audit_env.errors import WeightsError


def read_json(path: Path) -> Mapping[str, Any]:
    """A JSON file that holds an object.

    Args:
        path: The file.

    Returns:
        The object.

    Raises:
        WeightsError: It is missing, unreadable, or holds something else.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsError(f"{shown(path)}: missing; put the file that was saved with the weights back.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{shown(path)}: not readable as JSON ({error}); put the original file back.") from error
    if not isinstance(data, dict):
        raise WeightsError(f"{shown(path)}: must hold a JSON object; put the original file back.")
    return data


def index_of(whole: Path) -> Path:
    """Where the index lies of a weights file that is kept in shards."""
    return whole.with_name(f"{whole.name}.index.json")


def stored_shapes(whole: Path) -> dict[str, Shape]:
    """Name and shape of every tensor of a model.

    Args:
        whole: Its weights file. Where it is not there, the shards that its index names are read.

    Returns:
        Shape by tensor name.

    Raises:
        WeightsError: A file is missing or unsound, or shards and index do not agree.
    """
    if whole.is_file():
        return shapes(whole)
    found: dict[str, Shape] = {}
    for path, named in _shards(whole).items():
        held = shapes(path)
        if astray := held.keys() ^ named:
            raise WeightsError(
                f"{shown(path)}: tensor '{min(astray)}' is in the file or in field 'weight_map' of "
                f"{index_of(whole).name}, and not in both; put shards and index of one model there."
            )
        found |= held
    return found


def shards(whole: Path) -> list[Path]:
    """The files that a weights file is kept in.

    Args:
        whole: The weights file, which is not there.

    Returns:
        Its shards, sorted.

    Raises:
        WeightsError: The index or a shard is missing, or the index names something else than a file beside it.
    """
    return sorted(_shards(whole))


def _shards(whole: Path) -> dict[Path, set[str]]:
    """The shards of a model, and the tensors that each is to hold."""
    index = index_of(whole)
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise WeightsError(f"{shown(index)}: field 'weight_map' names no tensors; put the model's own index back.")
    held: dict[Path, set[str]] = {}
    for tensor, name in places.items():
        if not isinstance(name, str) or name != Path(name).name or "\\" in name or not name.endswith(".safetensors"):
            raise WeightsError(
                f"{shown(index)}: field 'weight_map' puts tensor '{tensor}' into {json.dumps(name)}, which is no "
                "safetensors file beside the index; shards must lie in the model's own folder."
            )
        held.setdefault(index.with_name(name), set()).add(tensor)
    for path in sorted(held):
        if not path.is_file():
            raise WeightsError(f"{shown(path)}: missing, and {index.name} names it; put all shards of the model there.")
    return held
