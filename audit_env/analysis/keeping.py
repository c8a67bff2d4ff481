"""What was read of a log, kept on disk, so that it is read once. A kept file is found by the hash of the log."""

import gzip
import hashlib
import json
import os
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from audit_env.analysis import logs, opened, rows
from audit_env.analysis.rows import Rows, rows_of
from audit_env.game import outcome
from audit_env.game.cost import price_list
from audit_env.runtime.answers import FOLDER_VARIABLE, KEEP_VARIABLE

_FOLDER = "report"


def hash_of(path: Path) -> str:
    """The SHA-256 of a file.

    Args:
        path: The file.

    Returns:
        64 hexadecimal digits.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def kept_rows(path: Path) -> Rows:
    """What a log says, from the cache where it was read before.

    AUDIT_ENV_CACHE=off keeps nothing; AUDIT_ENV_CACHE_DIR says where.

    Args:
        path: The log.

    Returns:
        Rows of plain data, by frame.

    Raises:
        Unusable: If the log cannot be used; that is never kept.
    """
    place = _place(path)
    if place is None:
        return rows_of(path)
    try:
        kept: Rows = json.loads(gzip.decompress(place.read_bytes()))
    except (OSError, ValueError, EOFError):
        kept = rows_of(path)
        _keep(place, kept)
    for row in kept["logs"]:  # The same log may have moved.
        row |= {"file": path.name, "path": str(path)}
    return kept


def _place(path: Path) -> Path | None:
    if os.environ.get(KEEP_VARIABLE) == "off":
        return None
    chosen = os.environ.get(FOLDER_VARIABLE)
    folder = Path(chosen).expanduser() if chosen else user_cache_path("audit_env", appauthor=False)
    return folder / _FOLDER / f"{hash_of(path)}.{_reader()}.json.gz"


@cache
def _reader() -> str:
    """Hash of the code that reads and of the prices, so that what others kept is not taken for one's own."""
    sources = (Path(module.__file__ or "") for module in (logs, opened, rows, outcome))
    read_by = b"".join(source.read_bytes() for source in sources)
    return hashlib.sha256(read_by + price_list().model_dump_json().encode()).hexdigest()[:12]


def _keep(place: Path, read: Rows) -> None:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        half = place.with_suffix(f".{os.getpid()}")
        half.write_bytes(gzip.compress(json.dumps(read).encode(), compresslevel=1))
        half.replace(place)
    except OSError:
        return  # A cache that cannot be written is no reason to fail.
