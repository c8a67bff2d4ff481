"""Speed of the hf engine as a share of the small one's, on a model that both compute.

    python benchmarks/hf_engine.py

Processor time. It says nothing of large models on a GPU, where the model's own arithmetic outweighs all that the
engines do around it.
"""

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
from common import TOPICS, in_turns, ratios, save, spread, zoo

from audit_env.runtime.hf.base import HfBase
from audit_env.runtime.hf.options import Options
from audit_env.runtime.hf.subject import HfSubject
from audit_env.runtime.local import Casting
from audit_env.runtime.small.base import Base
from audit_env.runtime.small.subject import SmallSubject
from audit_env.runtime.subject import Subject

ROUNDS, ANSWER_TOKENS = 5, 32
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


def measured(ask: Job, subjects: dict[str, tuple[Subject, Subject]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Seconds of each engine and their ratio; and what they found."""
    found: dict[str, Any] = {}

    def way(name: str) -> Callable[[], None]:
        def once() -> None:
            found[name] = asyncio.run(ask(*subjects[name]))

        return once

    spent = in_turns({name: way(name) for name in subjects}, ROUNDS).processor
    seconds = {name: spread(of, 3) for name, of in spent.items()}
    return {"seconds": seconds, "small_over_hf": spread(ratios(spent["small"], spent["hf"]))}, found


def furthest_apart(found: dict[str, Any]) -> float:
    """Largest difference between what the two engines read."""
    rows = zip(found["small"], found["hf"], strict=True)
    return max(float(np.abs(one - other).max(initial=0)) for one, other in rows)


def main() -> None:
    """Measure and write the result."""
    answering: dict[str, Job] = {
        f"{2 * len(TALKS)} answers": lambda one, _: _generate(one),
        f"{4 * len(TALKS)} answers of two organisms": _several_targets,
    }
    reading: dict[str, Job] = {
        f"scores of {len(TALKS)} answers": lambda one, _: _score(one),
        f"contrasts of {len(TALKS)} answers": lambda one, _: _contrast(one),
    }
    figures: dict[str, dict[str, Any]] = {}
    apart = 0.0
    with tempfile.TemporaryDirectory() as scratch:
        chosen = zoo(Path(scratch))
        subjects = _subjects(chosen.base, chosen.adapters[:2])
        for job, ask in (answering | reading).items():
            figures[job], found = measured(ask, subjects)
            if job in reading:
                apart = max(apart, furthest_apart(found))
            elif found["small"] != found["hf"]:
                raise RuntimeError(f"The engines give different answers ({job}).")
    save("hf_engine", {"zoo": chosen.name, "jobs": figures, "furthest_apart": apart, "passed": apart < CLOSE})


if __name__ == "__main__":
    main()
