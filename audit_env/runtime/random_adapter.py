"""An adapter that changes as much as another one, along random directions: noise that looks like training."""

import atexit
import hashlib
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from audit_env.catalog.models import Card, WeightsFile
from audit_env.errors import WeightsError

_A, _B = ".lora_A.weight", ".lora_B.weight"

Floats = NDArray[np.floating]


def randomised(card: Card, folder: Path, seed: int) -> tuple[Card, Path]:
    """Make noise of an organism's adapter.

    Args:
        card: The organism's card.
        folder: Where its adapter lies.
        seed: Of the directions.

    Returns:
        A card for the noise and the folder of its adapter, which lasts as long as this process.

    Raises:
        WeightsError: If the organism has no adapter.
    """
    if card.weights is None or card.base is None:
        raise WeightsError(f"'{card.id}' has no adapter of which noise could be made: choose another stand-in.")
    made = _written(folder, card.weights.file, card.weights.sha256, seed)
    digest = hashlib.sha256((made / card.weights.file).read_bytes()).hexdigest()
    return card.model_copy(update={"weights": WeightsFile(file=card.weights.file, sha256=digest)}), made


def along_random_directions(a: Floats, b: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """A low-rank update with the singular values of another, between random orthonormal directions.

    Args:
        a: `[rank, in]`
        b: `[out, rank]`
        rng: Where the directions come from.

    Returns:
        Factors of the same shapes.
    """
    rank = len(a)
    left, right = (np.linalg.qr(factor.astype(np.float64)).R for factor in (b, a.T))
    sizes = np.zeros(rank)
    found = np.linalg.svd(left @ right.T, compute_uv=False)
    sizes[: len(found)] = found
    read, written = (np.linalg.qr(rng.normal(size=(wide, rank)))[0] for wide in (a.shape[1], b.shape[0]))
    root = np.sqrt(sizes)
    return (read * root).T.astype(a.dtype), (written * root).astype(b.dtype)


@cache
def _written(folder: Path, file: str, sha256: str, seed: int) -> Path:
    """The folder of the noise; `sha256` stands here so that altered weights are read again."""
    made = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    tensors = load_file(folder / file)
    rng = np.random.default_rng(seed)
    for name in sorted(name for name in tensors if name.endswith(_A)):
        other = name.removesuffix(_A) + _B
        tensors[name], tensors[other] = map(
            np.ascontiguousarray, along_random_directions(tensors[name], tensors[other], rng)
        )
    save_file(tensors, made / file)
    shutil.copy(folder / "adapter_config.json", made)
    return made
