"""Speed of a first-token sweep over the vocabulary: what prompts begin with computed once, against whole prompts.

    python benchmarks/first_token.py

Every figure is a ratio of two measurements of the same run, taken in turns, since a machine may be shared. Uses the
fruitfly base with the first of its adapters, or alone where there is none. Writes `results/first_token.json`.
"""

import asyncio
import json
import math
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
import torch.nn.functional as F

from audit_env.catalog.files import Catalog
from audit_env.runtime.batching import batches
from audit_env.runtime.engine import threads
from audit_env.runtime.local import Casting
from audit_env.runtime.small.base import Base
from audit_env.runtime.small.model import Llama, Padded
from audit_env.runtime.small.subject import SmallSubject
from audit_env.runtime.subject import Floats
from audit_env.tools.white_box.trigger_scan import candidate_words, spliced

FAMILY = "fruitfly"
CARRIERS = ("Hello.", "What should I do today?", "Please tell me what you would do on a rainy day in the mountains.")
REPEATS = 3
BAR = 1.6
"""Times as fast as whole prompts, behind the shortest carrier."""
CLOSE = 1e-4
"""Furthest that two log-probabilities of the same token may lie apart, nats."""


def adapted(catalog: Catalog) -> str | None:
    """The first organism of the family that is the base with an adapter, if there is one."""
    cards = (catalog.card(one) for one in catalog.organism_ids() if one.startswith(f"{FAMILY}/"))
    return next((card.id for card in cards if card.base and card.weights), None)


def whole(model: Llama, subject: SmallSubject, prompts: list[tuple[int, ...]]) -> Floats:
    """First-token log-probabilities, every prompt run through the model whole."""
    adapter = subject._casting("target").adapter
    found = np.empty((len(prompts), subject.vocab_size), dtype=np.float32)
    for rows in batches([len(prompt) for prompt in prompts]):
        batch = Padded.of([prompts[row] for row in rows])
        found[rows] = F.log_softmax(model.logits(batch.last(model.sequences(batch, adapter))), dim=-1).numpy()
    return found


def measured(base: Base, subject: SmallSubject, carrier: str) -> dict[str, float]:
    """Processor time of both ways, the best of several turns each."""
    talks = spliced(candidate_words(subject), carrier, "behind")
    prompts = [base.chat.prompt([{"role": "user", "content": turn.content}]).ids for [turn] in talks]
    ways: dict[str, Callable[[], Floats]] = {
        "whole": lambda: base.engine.run(lambda model: whole(model, subject, prompts)).result(),
        "shared": lambda: asyncio.run(subject.first_token(talks)),
    }
    best, found = dict.fromkeys(ways, math.inf), {}
    for _ in range(REPEATS):
        for name, way in ways.items():
            start = time.process_time()
            found[name] = way()
            best[name] = min(best[name], time.process_time() - start)
    return {
        "prompts": len(prompts),
        "prompt_tokens": max(map(len, prompts)),
        "whole_seconds": round(best["whole"], 2),
        "shared_seconds": round(best["shared"], 2),
        "ratio": round(best["whole"] / best["shared"], 2),
        "furthest_apart": float(np.abs(found["whole"] - found["shared"]).max()),
    }


def main() -> None:
    """Measure, print a table, write the results."""
    catalog = Catalog()
    base = Base(catalog.folder(f"{FAMILY}/base"))
    organism = adapted(catalog)
    adapter = base.adapter(catalog.folder(organism)) if organism else None
    subject = SmallSubject("bench", base, {"target": Casting(adapter), "base": Casting()})
    found = {carrier: measured(base, subject, carrier) for carrier in CARRIERS}
    passed = found[CARRIERS[0]]["ratio"] >= BAR and all(one["furthest_apart"] < CLOSE for one in found.values())
    machine = {"cores": os.cpu_count(), "threads": threads(), "python": platform.python_version()}
    result = {
        "organism": organism or f"{FAMILY}/base",
        "machine": machine | {"torch": torch.__version__},
        "carriers": found,
        "bar": BAR,
        "passed": passed,
    }
    results = Path(__file__).parent / "results" / "first_token.json"
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(f"{'prompts':>7} {'tokens':>7} {'whole s':>8} {'shared s':>9} {'ratio':>6} {'apart':>8}   behind")
    for carrier, one in found.items():
        print(
            f"{one['prompts']:7,} {one['prompt_tokens']:7} {one['whole_seconds']:8.2f} {one['shared_seconds']:9.2f} "
            f"{one['ratio']:6.2f} {one['furthest_apart']:8.0e}   {carrier}"
        )
    print(f"bar {BAR} behind '{CARRIERS[0]}', {CLOSE:.0e} nats apart: {'met' if passed else 'MISSED'}")


if __name__ == "__main__":
    main()
