"""Memory of a hundred organisms: what it grows by beyond their base, against the bytes of their adapters' files.

    python benchmarks/memory.py

When they have been read, and when all of them have answered. What the allocator keeps of memory that is free comes and
goes by tens of megabytes from batch to batch, so both sides answer several times, and medians are compared.
"""

import ctypes
import gc
import statistics
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import wait
from itertools import cycle, islice
from pathlib import Path

import psutil
from common import save, spread, zoo

from audit_env.runtime.request import Request
from audit_env.runtime.sampling import Sampling
from audit_env.runtime.small.adapter import Adapter
from audit_env.runtime.small.base import Base

ORGANISMS, LIMIT, ROUNDS = 100, 32, 7
BAR = 1.3
PROMPT = tuple(range(10, 42))


def resident() -> int:
    """Bytes of this process, after what is free has gone back to the system."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(psutil.Process().memory_info().rss)


def answered(base: Base, adapters: Sequence[Adapter | None]) -> list[int]:
    """Bytes after each of several rounds in which everyone answers, in full batches."""
    found: list[int] = []
    for _ in range(ROUNDS):
        requests = [Request(PROMPT, adapter, Sampling(number), LIMIT) for number, adapter in enumerate(adapters)]
        base.engine.generate(requests)
        wait([request.future for request in requests])
        base.engine.run(lambda _: None).result()
        found.append(resident())
    return found


def main() -> None:
    """Measure and write the result."""
    with tempfile.TemporaryDirectory() as scratch:
        chosen = zoo(Path(scratch))
        base = Base(chosen.base)
        # Where fewer are shipped, some are read again: a copy is an adapter of its own.
        folders = list(islice(cycle(chosen.adapters), ORGANISMS))
        alone = answered(base, [None] * ORGANISMS)
        before = resident()
        adapters = [base._read(folder, None) for folder in folders]
        read = resident() - before
        together = answered(base, adapters)
    base.engine.close()
    files = sum((folder / "adapter_model.safetensors").stat().st_size for folder in chosen.adapters[:ORGANISMS])
    files = round(files * ORGANISMS / min(ORGANISMS, len(chosen.adapters)))
    grown = {"read": read, "answered": statistics.median(together) - statistics.median(alone)}
    found = {when: round(size / files, 2) for when, size in grown.items()}
    save(
        "memory",
        {
            "zoo": chosen.name,
            "organisms": ORGANISMS,
            "megabytes": {
                "base": spread([one / 1e6 for one in alone], 0),
                "with_organisms": spread([one / 1e6 for one in together], 0),
                "files": round(files / 1e6, 1),
                **{when: round(size / 1e6, 1) for when, size in grown.items()},
            },
            "times_the_files": found,
            "bar": BAR,
            "passed": max(found.values()) <= BAR,
        },
    )


if __name__ == "__main__":
    main()
