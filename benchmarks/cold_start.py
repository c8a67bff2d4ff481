"""What the first answer of a cold run costs beyond Inspect's own import.

    python benchmarks/cold_start.py

Processes in turns: one that imports Inspect as its command line does, and one that then asks an organism something.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable

from common import FAMILY, save, spread

ROUNDS = 5
BAR = 2.0
"""Seconds."""

INSPECT = "import inspect_ai._cli.main; from inspect_ai.model import get_model, GenerateConfig; import asyncio;"
ANSWER = (
    INSPECT + f"model = get_model('organism/{FAMILY}/base');"
    "print(asyncio.run(model.generate('What is a good soup?', config=GenerateConfig(max_tokens=16))).completion)"
)


def child(code: str) -> tuple[float, float]:
    """Wall time and processor time of a process."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, processor


def main() -> None:
    """Measure and write the result."""
    found: dict[str, list[tuple[float, float]]] = {"inspect": [], "answer": []}
    for number in range(1 + ROUNDS):
        for name, code in (("inspect", INSPECT), ("answer", ANSWER)):
            spent = child(code)
            if number:  # the first round fills the system's file cache
                found[name].append(spent)

    def beyond(pick: Callable[[tuple[float, float]], float]) -> dict[str, float]:
        return spread([pick(two) - pick(one) for one, two in zip(found["inspect"], found["answer"], strict=True)])

    wall, processor = beyond(lambda one: one[0]), beyond(lambda one: one[1])
    save(
        "cold_start",
        {
            "inspect_processor_seconds": spread([one[1] for one in found["inspect"]]),
            "beyond_it_processor_seconds": processor,
            "beyond_it_wall_seconds": wall,
            "bar": BAR,
            "passed": wall["median"] <= BAR,
        },
    )


if __name__ == "__main__":
    main()
