"""What the first answer of a cold run costs beyond Inspect's own import.

    python benchmarks/cold_start.py

Processes in turns: one that imports Inspect as its command line does, one that then asks an organism something, and, to
tell what of it is whose, three that import no more than torch, transformers, or what Inspect loads of this package.
"""

import resource
import subprocess
import sys
import time

from common import FAMILY, save, spread

ROUNDS = 3
BAR = 2.0
"""Seconds."""

INSPECT = "import inspect_ai._cli.main; from inspect_ai.model import get_model, GenerateConfig; import asyncio;"
ANSWER = (
    f"model = get_model('organism/{FAMILY}/base');"
    "print(asyncio.run(model.generate('What is a good soup?', config=GenerateConfig(max_tokens=16))).completion)"
)
PROGRAMS = {
    "inspect": INSPECT,
    "torch": INSPECT + "import torch",
    "transformers": INSPECT + "import transformers",
    "registry": INSPECT + "import audit_env._registry",
    "organism": INSPECT + ANSWER,
}

WALL, PROCESSOR = 0, 1
"""Places in what `child` gives."""


def child(code: str) -> tuple[float, float]:
    """Wall time and processor time of a process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, processor


def main() -> None:
    """Measure and write the result."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in PROGRAMS}
    for number in range(1 + ROUNDS):
        for name, program in PROGRAMS.items():
            spent = child(program)
            if number:  # the first round fills the system's file cache
                found[name].append(spent)

    def beyond(clock: int) -> dict[str, dict[str, float]]:
        return {
            name: spread([two[clock] - one[clock] for one, two in zip(found["inspect"], found[name], strict=True)])
            for name in PROGRAMS
            if name != "inspect"
        }

    wall = beyond(WALL)
    save(
        "cold_start",
        {
            "inspect_processor_seconds": spread([one[PROCESSOR] for one in found["inspect"]]),
            "beyond_it_processor_seconds": beyond(PROCESSOR),
            "beyond_it_wall_seconds": wall,
            "bar": BAR,
            "passed": wall["organism"]["median"] <= BAR,
        },
    )


if __name__ == "__main__":
    main()
