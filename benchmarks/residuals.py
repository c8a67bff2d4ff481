"""What white-box calls cost beside a plain forward pass: all layers captured, and edits while generating.

    python benchmarks/residuals.py

Every figure is a ratio of processor times of the same run, taken in turns, since a machine may be shared. Uses the
fruitfly base alone, on the small engine. Writes `results/residuals.json`.
"""

import asyncio
import json
import math
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch

from audit_env.catalog.files import Catalog
from audit_env.runtime.edits import Add, At
from audit_env.runtime.engine import threads
from audit_env.runtime.local import Casting
from audit_env.runtime.small.base import Base
from audit_env.runtime.small.model import Padded
from audit_env.runtime.small.subject import SmallSubject

RESULTS = Path(__file__).parent / "results" / "residuals.json"
ROWS, REPEATS, NEW_TOKENS = 64, 7, 24
BARS = {"all layers at every position": 1.3, "all layers at the header": 1.3}
"""Times of a plain forward pass of the same 64 rows, at most."""

SUBJECTS = ("soup", "bread", "tea", "music", "rain", "winter", "gardens", "trains")
PLACES = ("mountains", "city", "garden", "kitchen", "forest", "school", "station", "village")


def ways(base: Base) -> dict[str, Callable[[], Any]]:
    """What is timed. The readings take their prompts from memory, rendered in a first turn."""
    subject = SmallSubject("bench", base, {"target": Casting(), "base": Casting()})
    talks = [
        [{"role": "user", "content": f"{place.title()} first. What can you tell me about {one} in the {place}?"}]
        for one in SUBJECTS
        for place in PLACES
    ]
    prompts = [base.chat.prompt(talk).ids for talk in talks]
    assert len(prompts) == ROWS
    batch = Padded.of(prompts)
    layers = range(-1, subject.n_layers)
    steering = [Add(1, np.ones(subject.d_model, np.float32), At("all", None), 0.0)]

    def generated(**edits: Any) -> Any:
        return asyncio.run(subject.generate(talks, temperature=0, max_tokens=NEW_TOKENS, **edits))

    return {
        "plain forward": lambda: base.engine.run(lambda model: model.sequences(batch, None)).result(),
        "all layers at every position": lambda: asyncio.run(
            subject.residuals(talks, layers=layers, at=At("all", None), reduce="mean")
        ),
        "all layers at the header": lambda: asyncio.run(subject.residuals(talks, layers=layers)),
        "generation": generated,
        "generation with an edit": lambda: generated(edits=steering),
    }


def main() -> None:
    """Measure, print a table, write the results."""
    base = Base(Catalog().folder("fruitfly/base"))
    timed = ways(base)
    best = dict.fromkeys(timed, math.inf)
    for _ in range(1 + REPEATS):  # in turns, and the best of each, so that other load of the machine weighs little
        for name, way in timed.items():
            start = time.process_time()
            way()
            best[name] = min(best[name], time.process_time() - start)
    ratios = {name: round(best[name] / best["plain forward"], 2) for name in BARS}
    ratios["generation with an edit"] = round(best["generation with an edit"] / best["generation"], 2)
    passed = all(ratios[name] <= bar for name, bar in BARS.items())
    machine = {"cores": os.cpu_count(), "threads": threads(), "python": platform.python_version()}
    result = {
        "organism": "fruitfly/base",
        "rows": ROWS,
        "machine": machine | {"torch": torch.__version__},
        "seconds": {name: round(spent, 4) for name, spent in best.items()},
        "ratios": ratios,
        "bars": BARS,
        "passed": passed,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"{'':32} {'seconds':>8}")
    for name, spent in best.items():
        print(f"{name:32} {spent:8.4f}")
    for name, ratio in ratios.items():
        bar = f"   bar {BARS[name]}" if name in BARS else "   of plain generation"
        print(f"{name:32} {ratio:8.2f}{bar}")
    print("met" if passed else "MISSED")


if __name__ == "__main__":
    main()
