"""The sealed package: a zip file with weights under opaque names and a commitment, and without the truth.

It is read as what a stranger sent: only the names that it must have, nothing unpacked to disk by name, limits on every
size, whatever the zip file says of itself.
"""

import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

from pydantic import Field, ValidationError

from audit_env.catalog.models import MenuEntry, QuirkId, Sha256, Strict
from audit_env.catalog.reading import shown
from audit_env.errors import SealError, WeightsError
from audit_env.sessions.errors import SessionError
from audit_env.sessions.red.adapters import CONFIG, WEIGHTS, refuse_notes, settings
from audit_env.sessions.red.checking import BASE_ID
from audit_env.sessions.red.sealing import Opening, SealedTarget, weights_folder

MANIFEST = "package.json"
_LIMITS = {MANIFEST: 1 << 20, CONFIG: 1 << 16, WEIGHTS: 1 << 25}
"""Largest size of each file, in bytes, unpacked."""
_MOST_TARGETS = 64
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""When every file in a package was written, as the zip file has it: true times would tell what was trained when."""


class Packed(Strict):
    """A target as the blue team sees it."""

    name: QuirkId
    weights_sha256: Sha256


class Manifest(Strict):
    """What a package says of itself: the opaque card of all its targets."""

    form: Literal["audit_env sealed package 1"] = "audit_env sealed package 1"
    commitment: Sha256
    base: str
    base_sha256: Sha256
    rank: int = Field(ge=1, le=256)
    alpha: float
    targets: tuple[Packed, ...] = Field(min_length=1, max_length=_MOST_TARGETS)
    entries: tuple[MenuEntry, ...] = ()


class Package(Strict):
    """A package that was read: its manifest, and the weights of every target."""

    manifest: Manifest
    weights: dict[QuirkId, bytes]


def pack(folder: Path, opening: Opening, out: Path) -> Manifest:
    """Write the package of a sealed folder.

    Args:
        folder: The red team's folder.
        opening: Its seal.
        out: The zip file.

    Returns:
        What the package says of itself.

    Raises:
        SessionError: The file is there already.
        SealError: Weights have changed since they were sealed.
        WeightsError: Weights hold more than tensors.
    """
    if out.exists():
        raise SessionError(f"{shown(out)}: there is such a file already; choose another name.")
    truth = opening.truth
    recipe = truth.targets[0].card.recipe
    assert recipe.rank and recipe.alpha, "what is sealed are adapters"
    manifest = Manifest(
        commitment=opening.commitment,
        base=BASE_ID,
        base_sha256=str(truth.targets[0].card.base_sha256),
        rank=recipe.rank,
        alpha=recipe.alpha,
        targets=tuple(Packed(name=one.name, weights_sha256=one.weights_sha256) for one in truth.targets),
        entries=truth.entries,
    )
    files = {MANIFEST: (manifest.model_dump_json(indent=2) + "\n").encode()}
    for target in truth.targets:
        files[f"{target.name}/{CONFIG}"] = settings(recipe.rank, recipe.alpha)
        files[f"{target.name}/{WEIGHTS}"] = _sealed_weights(folder, target)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, content)
    return manifest


def unpack(path: Path) -> Package:
    """Read a package that somebody sent.

    Args:
        path: The zip file.

    Returns:
        Its manifest and weights; nothing was written to disk.

    Raises:
        SessionError: It is no package, or holds other files than a package does.
        WeightsError: Weights are not those that the manifest names.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(path, archive)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise SessionError(
            f"{shown(path)}: not readable as a package ({error}); ask the red team for the file again."
        ) from error


def _read(path: Path, archive: zipfile.ZipFile) -> Package:
    names = [entry.filename for entry in archive.infolist()]
    if MANIFEST not in names or len(names) > 1 + 2 * _MOST_TARGETS:
        raise SessionError(f"{shown(path)}: not a package: it has no {MANIFEST}, or too many files.")
    try:
        manifest = Manifest.model_validate_json(_content(path, archive, MANIFEST))
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise SessionError(
            f"{shown(path)}: field '{field}' of {MANIFEST} is malformed; ask the red team for the file again."
        ) from error
    expected = [MANIFEST, *(name for target in manifest.targets for name in _files(target.name))]
    if sorted(names) != sorted(expected):
        strange = sorted(set(names) ^ set(expected)) or ["a name twice"]
        raise SessionError(
            f"{shown(path)}: holds other files than its {MANIFEST} names ({', '.join(map(repr, strange[:3]))}); "
            "nothing was taken from it."
        )
    return Package(manifest=manifest, weights=dict(_weights(path, archive, manifest)))


def _weights(path: Path, archive: zipfile.ZipFile, manifest: Manifest) -> Iterator[tuple[str, bytes]]:
    for target in manifest.targets:
        config, weights = (_content(path, archive, name) for name in _files(target.name))
        if config != settings(manifest.rank, manifest.alpha):
            raise WeightsError(f"{shown(path)}: {CONFIG} of '{target.name}' is not that of a plain adapter.")
        if hashlib.sha256(weights).hexdigest() != target.weights_sha256:
            raise WeightsError(
                f"{shown(path)}: the weights of '{target.name}' are not those that {MANIFEST} names; ask the red team "
                "for the file again."
            )
        yield target.name, weights


def _content(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """A file of the archive, read no further than its limit."""
    limit = _LIMITS[name.rpartition("/")[2]]
    with archive.open(name) as file:
        content = _at_most(file, limit)
    if content is None:
        raise SessionError(f"{shown(path)}: '{name}' is larger than {limit:,} bytes; nothing was taken from it.")
    return content


def _at_most(file: IO[bytes], limit: int) -> bytes | None:
    content = file.read(limit + 1)
    return None if len(content) > limit else content


def _files(target: str) -> tuple[str, str]:
    return f"{target}/{CONFIG}", f"{target}/{WEIGHTS}"


def _sealed_weights(folder: Path, target: SealedTarget) -> bytes:
    path = weights_folder(folder, target) / WEIGHTS
    if not path.is_file():
        raise WeightsError(f"{shown(path)}: missing; build and seal again.")
    refuse_notes(path)
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != target.weights_sha256:
        raise SealError(f"{shown(path)}: not the weights that were sealed; put them back, or seal again with  --again")
    return content
