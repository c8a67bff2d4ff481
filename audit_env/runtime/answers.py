"""Answers of organisms, kept on disk from one run to the next.

An answer is found again under a hash of everything that decides it: the files of the model, the code and the settings
that compute it, the rendered prompt, the sampling. Whose side it was is no part of that: a base answers the same,
whichever organism it stands beside. Hashes are all that is written beside the answers, so that whoever reads the disk
learns no name of an organism, no prompt and no hidden prompt.

A cache is never needed: a file that is damaged is thrown away, one that cannot be used is left alone, and answers are
computed, with a warning and no error. Of models in less than fp32, whose near ties depend on the company that a
request is computed in, the answer that was given first is the one that is kept.
"""

import asyncio
import dataclasses
import hashlib
import json
import logging
import os
import platform
import re
import sqlite3
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import closing
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, TypeVar, get_args

import numpy as np
from platformdirs import user_cache_path

from audit_env.catalog.integrity import sha256
from audit_env.catalog.phenotype import FILE as PHENOTYPE_FILE
from audit_env.errors import AuditEnvError, ParameterError
from audit_env.runtime.subject import Sample

Keep = Literal["greedy", "all", "off"]
"""What is kept: answers at temperature 0, sampled ones too (a seed decides them as well), or none."""

KEEP_VARIABLE, FOLDER_VARIABLE = "AUDIT_ENV_CACHE", "AUDIT_ENV_CACHE_DIR"

MOST_BYTES = 2**30
"""Some two million short answers."""

_FILE = "answers.sqlite3"
_LOCK_SECONDS = 10
_DECIDING = frozenset({".json", ".jinja", ".model", ".txt"})
"""Endings of the files that a model is besides its weights: configuration, tokenizer, chat template."""
_WEIGHTS = re.compile(r"(adapter_)?model.*\.safetensors")
"""Others, such as a lens, are read by no engine."""
_SHEETS = frozenset({PHENOTYPE_FILE, "naturalness.json"})
"""What was measured of a model."""
_HUB_BLOB = re.compile(r"[0-9a-f]{64}")
_TABLE = "CREATE TABLE IF NOT EXISTS answers (number INTEGER PRIMARY KEY, key BLOB UNIQUE, value BLOB, seal BLOB)"
_HINDRANCES = frozenset(
    getattr(sqlite3, f"SQLITE_{name}")
    for name in ("AUTH", "BUSY", "CANTOPEN", "FULL", "IOERR", "LOCKED", "NOMEM", "PERM", "PROTOCOL", "READONLY")
)
"""Errors that a sound file gives as well. All others come from what is in it."""

T = TypeVar("T")

_logger = logging.getLogger(__name__)


class CacheError(AuditEnvError):
    """The cache cannot be read or written."""


class _Damaged(CacheError):
    """The file is there, and is no sound database."""


@dataclasses.dataclass(frozen=True)
class Source:
    """Who answers: all that decides an answer apart from what is asked."""

    engine: str
    base: str
    """The `fingerprint` of the base's folder, or the name of a pinned revision."""
    adapter: str | None = None
    """The `fingerprint` of the adapter's folder. None for the base alone, and for a prompted organism."""
    settings: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What rounding depends on: precision, device, `machine()`; on a server, its version and its options."""


@dataclasses.dataclass(frozen=True)
class Asked:
    """One answer that is asked for."""

    prompt: Sequence[int] | Sequence[Mapping[str, str]]
    """Token ids of the rendered conversation with header and prefill, hidden system prompt included; messages, where
    an engine renders them out of our sight."""
    limit: int
    """Tokens to generate at most: never more than the context has room for."""
    prefill: Sequence[int] | str = ()
    """The last tokens of the prompt, which decide how the answer reads as text; a text, beside messages."""
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    number: int = 0
    """Which of the answers to this prompt under this seed."""
    thinking: bool = False
    changes: Sequence[object] = ()
    """Dose and placed edits under which it is computed: plain data, data classes, ranges and arrays."""


class Stock(NamedTuple):
    """What a cache holds."""

    answers: int
    size: int
    """Bytes on disk."""


def key(source: Source, asked: Asked) -> bytes:
    """What an answer is kept under.

    Args:
        source: Who answers.
        asked: What is asked. Of greedy answers, seed, number and nucleus decide nothing and are left out.

    Returns:
        SHA-256 of all that decides the answer, the code of `audit_env.runtime` included.
    """
    drawn = {"temperature": float(asked.temperature), "top_p": float(asked.top_p)}
    drawn |= {"seed": asked.seed, "number": asked.number}
    decides = {
        "code": _code(),
        "source": dataclasses.asdict(source),
        "prompt": asked.prompt,
        "prefill": asked.prefill,
        "limit": asked.limit,
        "thinking": asked.thinking,
        "changes": asked.changes,
        "drawn": drawn if asked.temperature else None,
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True, default=_plain).encode()).digest()


def model_files(folder: Path) -> list[Path]:
    """The files that decide what a model, or an adapter, says.

    Args:
        folder: A Hugging Face folder.

    Returns:
        Weights, configuration, tokenizer and chat template; not what is told or was measured of the model.
    """
    return sorted(path for path in folder.rglob("*") if path.is_file() and _decides(path.name))


def fingerprint(folder: Path) -> str:
    """Hash of all files that decide what a model, or an adapter, says.

    Args:
        folder: A Hugging Face folder.

    Returns:
        SHA-256 over names and contents of weights, configuration, tokenizer and chat template; 64 digits.
    """
    lines = [f"{_sha256(path)} {path.relative_to(folder).as_posix()}" for path in model_files(folder)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def machine() -> dict[str, str]:
    """What rounding depends on besides the model, for engines on this machine.

    Returns:
        Versions of the libraries that compute, the processor's instructions, threads, and the accelerator if any.
    """
    import torch

    from audit_env.runtime.engine import threads

    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        **{library: version(library) for library in ("torch", "transformers", "tokenizers")},
        "processor": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
        "threads": str(threads()),
        "accelerator": accelerator,
    }


class Answers:
    """A cache of answers, for any number of threads and processes at a time."""

    def __init__(self, folder: Path, *, keep: Keep = "greedy", most: int = MOST_BYTES) -> None:
        """Make a handle. Nothing is opened before it is used.

        Args:
            folder: Where the cache is, or is to be.
            keep: What to keep.
            most: Bytes on disk, to about the size of one call's answers. What was kept longest ago goes first.
        """
        self.path, self.keep, self.most = folder / _FILE, keep, most
        self._usable = True

    @classmethod
    def from_environment(cls) -> Self:
        """The user's cache.

        AUDIT_ENV_CACHE says what is kept ("greedy" by default, "all" or "off"), and AUDIT_ENV_CACHE_DIR where (by
        default where the platform has its caches).

        Returns:
            A handle.

        Raises:
            ParameterError: If a variable has a value that does not exist.
        """
        keep = os.environ.get(KEEP_VARIABLE, "greedy")
        valid: tuple[Keep, ...] = get_args(Keep)
        if keep not in valid:
            raise ParameterError(f"{KEEP_VARIABLE} is '{keep}': set it to one of {', '.join(valid)}.")
        folder = os.environ.get(FOLDER_VARIABLE)
        place = Path(folder).expanduser() if folder else user_cache_path("audit_env", appauthor=False)
        return cls(place, keep=valid[valid.index(keep)])

    def covers(self, temperature: float) -> bool:
        """Whether answers of a temperature are kept."""
        return self.keep == "all" or (self.keep == "greedy" and temperature == 0)

    async def get(self, key: bytes) -> Sample | None:
        """The answer kept under a key, if there is one."""
        return (await asyncio.to_thread(self._read, [key])).get(key)

    async def put(self, key: bytes, sample: Sample) -> None:
        """Keep an answer."""
        await asyncio.to_thread(self._write, {key: sample})

    async def serve(
        self,
        keys: Sequence[bytes | None],
        compute: Callable[[Sequence[int]], Awaitable[Sequence[Sample]]],
    ) -> list[Sample]:
        """Answers, of which those that are not kept are computed and kept.

        Args:
            keys: One per answer: what it is kept under, or None for one that is not to be kept.
            compute: Computes the answers with some of the numbers, in their order, equal keys but once. Called once,
                unless all are there.

        Returns:
            The answers, in the order of the keys.
        """
        wanted = {key for key in keys if key is not None}
        known = await asyncio.to_thread(self._read, wanted) if wanted else {}
        first = {key: number for number, key in reversed([*enumerate(keys)]) if key is not None}
        due = [number for number, key in enumerate(keys) if key is None or (key not in known and first[key] == number)]
        computed = dict(zip(due, await compute(due), strict=True)) if due else {}
        fresh = {key: sample for number, sample in computed.items() if (key := keys[number]) is not None}
        if fresh:
            await asyncio.to_thread(self._write, fresh)
        known |= fresh
        return [computed[number] if key is None else known[key] for number, key in enumerate(keys)]

    def stock(self) -> Stock:
        """What the cache holds.

        Raises:
            CacheError: If it cannot be read.
        """
        if not self.path.exists():
            return Stock(0, 0)
        [answers] = self._within(lambda db: db.execute("SELECT count(*) FROM answers").fetchone())
        return Stock(answers, self.path.stat().st_size)

    def clear(self) -> int:
        """Throw all answers away, also while others use the cache.

        Returns:
            How many there were; 0 where the file could not be read and was removed.

        Raises:
            CacheError: If the file cannot be removed.
        """
        if not self.path.exists():
            return 0
        try:
            found = self._within(lambda db: db.execute("DELETE FROM answers").rowcount)
            self._within(lambda db: db.execute("VACUUM"))
        except CacheError:
            self._remove()
            return 0
        return found

    def _read(self, keys: Collection[bytes]) -> dict[bytes, Sample]:
        def select(db: sqlite3.Connection) -> dict[bytes, tuple[object, object]]:
            found = {
                key: db.execute("SELECT value, seal FROM answers WHERE key = ?", (key,)).fetchone() for key in keys
            }
            return {key: row for key, row in found.items() if row}

        rows: Mapping[bytes, tuple[object, object]] = self._if_usable(select, {})
        kept = {key: _opened(key, *row) for key, row in rows.items()}
        return {key: sample for key, sample in kept.items() if sample is not None}

    def _write(self, samples: Mapping[bytes, Sample]) -> None:
        def replace(db: sqlite3.Connection) -> None:
            rows = [(key, value := _packed(sample), _seal(key, value)) for key, sample in samples.items()]
            db.executemany("REPLACE INTO answers (key, value, seal) VALUES (?, ?, ?)", rows)
            self._evict(db)

        self._if_usable(replace, None)

    def _evict(self, db: sqlite3.Connection) -> None:
        """Delete the oldest eighth until all fits. Pages that this empties are filled again before the file grows."""
        while _bytes_in_use(db) > self.most:
            oldest = "SELECT min(number) + (max(number) - min(number)) / 8 FROM answers"
            if not db.execute(f"DELETE FROM answers WHERE number <= ({oldest})").rowcount:
                return

    def _if_usable(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """What some work on the database gives; where it fails, a warning."""
        try:
            return self._within(work) if self._usable else otherwise
        except _Damaged as error:
            self._start_anew(error)
        except CacheError as error:
            self._go_without(error)
        return otherwise

    def _start_anew(self, error: CacheError) -> None:
        try:
            self._remove()
        except CacheError as failure:
            self._go_without(failure)
        else:
            _logger.warning("%s: the cache was damaged and is removed; answers are computed anew.", self.path)

    def _go_without(self, error: CacheError) -> None:
        self._usable = False
        _logger.warning("This run goes on without kept answers. %s", error)

    def _within(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do some work in one transaction, on a connection of its own: none outlives a fork, or is shared by threads.

        The journal is SQLite's usual one and not a write-ahead log, which home folders on a network do not carry.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=_LOCK_SECONDS)) as db, db:
                db.execute("PRAGMA synchronous = OFF")  # what a power failure spoils is found out and thrown away
                db.execute(_TABLE)
                return work(db)
        except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter where SQLite quotes damaged text
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # without the details in the higher bits
            raise (CacheError if code in _HINDRANCES else _Damaged)(self._sentence(error)) from error
        except OSError as error:
            raise CacheError(self._sentence(error)) from error

    def _remove(self) -> None:
        try:
            for path in (self.path, self.path.with_name(f"{_FILE}-journal")):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise CacheError(self._sentence(error)) from error

    def _sentence(self, error: Exception) -> str:
        return (
            f"{self.path}: the cache of answers cannot be used ({error}); name another folder in {FOLDER_VARIABLE}, "
            "or run  audit-env cache clear"
        )


def _packed(sample: Sample) -> bytes:
    return json.dumps(dataclasses.asdict(sample)).encode()


def _opened(key: bytes, value: object, seal: object) -> Sample | None:
    if not isinstance(value, bytes) or seal != _seal(key, value):
        _logger.warning("An answer in the cache is damaged; it is computed anew.")
        return None
    fields = json.loads(value)
    return Sample(**fields | {"ids": tuple(fields["ids"])})


def _seal(key: bytes, value: bytes) -> bytes:
    """What tells an answer that changed on the disk, and one that stands under another's key."""
    return hashlib.blake2b(value, digest_size=16, key=key).digest()


def _bytes_in_use(db: sqlite3.Connection) -> int:
    names = ("page_count", "freelist_count", "page_size")
    pages, free, size = (int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in names)
    return (pages - free) * size


def _decides(name: str) -> bool:
    """Whether a file of this name decides what a model says."""
    return bool(_WEIGHTS.fullmatch(name)) or (Path(name).suffix in _DECIDING and name not in _SHEETS)


def _sha256(path: Path) -> str:
    """Hash of a file. The hub's own cache names large files by theirs, which spares reading a hundred gigabytes."""
    blob = path.resolve().name
    return blob if _HUB_BLOB.fullmatch(blob) else sha256(path)


@cache
def _code() -> str:
    """Digest of the code that answers: a version number stands still while a checkout is worked on."""
    folder = Path(__file__).parent
    lines = [f"{sha256(path)} {path.relative_to(folder).as_posix()}" for path in sorted(folder.rglob("*.py"))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Data classes, ranges, numbers and arrays of numpy as JSON can hold them, no two different ones alike."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, range):
        return ["range", value.start, value.stop, value.step]
    if isinstance(value, np.ndarray):
        return [value.dtype.str, value.shape, hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()]
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return [type(value).__name__, fields]
