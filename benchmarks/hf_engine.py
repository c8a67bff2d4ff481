"""Speed of the hf engine as a share of the small one's, on a model that both compute.

    python benchmarks/hf_engine.py

Every figure is a ratio of processor times of the same run, taken in turns, since a machine may be shared. Uses what the
other benchmarks use. Writes `results/hf_engine.json`. It says nothing of large models on a GPU, where the model's own
arithmetic outweighs all that the engines do around it.
"""

import asyncio
import json
import math
import os
import platform
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
from common import TOPICS, zoo

from audit_env.runtime.engine import threads
from audit_env.runtime.hf.base import HfBase
from audit_env.runtime.hf.options import Options
from audit_env.runtime.hf.subject import HfSubject
from audit_env.runtime.local import Casting
from audit_env.runtime.small.base import Base
from audit_env.runtime.small.subject import SmallSubject
from audit_env.runtime.subject import Subject

RESULTS = Path(__file__).parent / "results" / "hf_engine.json"
REPEATS, ANSWER_TOKENS = 3, 32
CLOSE = 1e-3
"""Furthest that two log-probabilities of the same token may lie apart, nats."""

TALKS = [[{"role": "user", "content": f"What can you tell me about {topic}?"}] for topic in TOPICS]
ANSWERS = [f"There is much to say about {topic}, and I like to talk of it." for topic in TOPICS]


Job = Callable[[Subject, Subject], Coroutine[Any, Any, list[Any]]]
"""What is asked of one organism or of two."""


async def _generate(subject: Subject) -> list[Any]:
    return await subject.generate(TALKS, n=2, temperature=0, max_tokens=ANSWER_TOKENS)


async def _several_targets(one: Subject, other: Subject) -> list[Any]:
    """Two organisms at once: one batch for the small engine, two for the hf engine."""
    return list(await asyncio.gather(_generate(one), _generate(other)))


async def _score(subject: Subject) -> list[Any]:
    return [scores.logprobs for scores in await subject.score(TALKS, ANSWERS)]


async def _contrast(subject: Subject) -> list[Any]:
    return [contrast.contribution for contrast in await subject.contrast(TALKS, ANSWERS)]


def _subjects(base: Path, adapters: tuple[Path, ...]) -> dict[str, tuple[Subject, Subject]]:
    """Two organisms on each engine."""
    small, hf = Base(base), HfBase(base, options=Options("float32", "cpu"))
    of_small = [SmallSubject(f.name, small, {"target": Casting(small.adapter(f)), "base": Casting()}) for f in adapters]
    of_hf = [HfSubject(f.name, hf, {"target": Casting(hf.adapter(f)), "base": Casting()}) for f in adapters]
    return {"small": (of_small[0], of_small[1]), "hf": (of_hf[0], of_hf[1])}


def measured(ways: dict[str, Callable[[], Any]]) -> tuple[dict[str, float], dict[str, Any]]:
    """Processor time of each way, the best of several turns, and the ratio of the two; and what they found."""
    best, found = dict.fromkeys(ways, math.inf), {}
    for _ in range(1 + REPEATS):  # in turns, and the best of each, so that other load of the machine weighs little
        for name, way in ways.items():
            start = time.process_time()
            found[name] = way()
            best[name] = min(best[name], time.process_time() - start)
    seconds = {f"{name}_seconds": round(spent, 3) for name, spent in best.items()}
    return seconds | {"small_over_hf": round(best["small"] / best["hf"], 3)}, found


def furthest_apart(found: dict[str, Any]) -> float:
    """Largest difference between what the two engines read."""
    rows = zip(found["small"], found["hf"], strict=True)
    return max(float(np.abs(one - other).max(initial=0)) for one, other in rows)


def main() -> None:
    """Measure, print a table, write the results."""
    answering: dict[str, Job] = {
        f"{2 * len(TALKS)} answers": lambda one, _: _generate(one),
        f"{4 * len(TALKS)} answers of two organisms": _several_targets,
    }
    reading: dict[str, Job] = {
        f"scores of {len(TALKS)} answers": lambda one, _: _score(one),
        f"contrasts of {len(TALKS)} answers": lambda one, _: _contrast(one),
    }
    figures: dict[str, dict[str, float]] = {}
    apart = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        chosen = zoo(Path(scratch))
        subjects = _subjects(chosen.base, chosen.adapters[:2])
        for job, ask in (answering | reading).items():
            ways = {name: lambda ask=ask, pair=pair: asyncio.run(ask(*pair)) for name, pair in subjects.items()}
            figures[job], found = measured(ways)
            if job in reading:
                apart = max(apart, furthest_apart(found))
            elif found["small"] != found["hf"]:
                raise RuntimeError(f"The engines give different answers ({job}).")
    machine = {"cores": os.cpu_count(), "threads": threads(), "python": platform.python_version()}
    result = {
        "zoo": chosen.name,
        "machine": machine | {"torch": torch.__version__},
        "jobs": figures,
        "furthest_apart": apart,
        "passed": apart < CLOSE,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"{chosen.name}; {machine['cores']} cores, {machine['threads']} torch thread(s)\n")
    print(f"{'':34} {'small s':>8} {'hf s':>8} {'small/hf':>9}")
    for job, one in figures.items():
        print(f"{job:34} {one['small_seconds']:8.2f} {one['hf_seconds']:8.2f} {one['small_over_hf']:9.2f}")
    print(f"answers equal; readings {apart:.0e} apart, {CLOSE:.0e} allowed: {'met' if apart < CLOSE else 'MISSED'}")


if __name__ == "__main__":
    main()
