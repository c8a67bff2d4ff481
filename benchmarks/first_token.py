"""Speed of a first-token sweep over the vocabulary: what prompts begin with computed once, against whole prompts.

    python benchmarks/first_token.py

Processor time, on the fruitfly base with the first of its adapters.
"""

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from common import in_turns, ratios, save, spread, zoo

from audit_env.runtime.batching import batches
from audit_env.runtime.local import Casting
from audit_env.runtime.small.base import Base
from audit_env.runtime.small.model import Llama, Padded
from audit_env.runtime.small.subject import SmallSubject
from audit_env.runtime.subject import Floats
from audit_env.tools.white_box.trigger_scan import candidate_words, spliced

CARRIERS = ("Hello.", "What should I do today?", "Please tell me what you would do on a rainy day in the mountains.")
ROUNDS = 3
BAR = 1.6
"""Times as fast as whole prompts, behind the shortest carrier."""
CLOSE = 1e-4
"""Furthest that two log-probabilities of the same token may lie apart, nats."""


def whole(model: Llama, subject: SmallSubject, prompts: list[tuple[int, ...]]) -> Floats:
    """First-token log-probabilities, every prompt run through the model whole."""
    adapter = subject._casting("target").adapter
    found = np.empty((len(prompts), subject.vocab_size), dtype=np.float32)
    for rows in batches([len(prompt) for prompt in prompts]):
        batch = Padded.of([prompts[row] for row in rows])
        found[rows] = F.log_softmax(model.logits(batch.last(model.sequences(batch, adapter))), dim=-1).numpy()
    return found


def measured(base: Base, subject: SmallSubject, carrier: str) -> dict[str, Any]:
    """Both ways behind one carrier."""
    talks = spliced(candidate_words(subject), carrier, "behind")
    prompts = [base.chat.prompt([{"role": "user", "content": turn.content}]).ids for [turn] in talks]
    found: dict[str, Floats] = {}

    def by_whole() -> None:
        found["whole"] = base.engine.run(lambda model: whole(model, subject, prompts)).result()

    def by_shared() -> None:
        found["shared"] = asyncio.run(subject.first_token(talks))

    ways: dict[str, Callable[[], None]] = {"whole": by_whole, "shared": by_shared}
    spent = in_turns(ways, ROUNDS).processor
    return {
        "prompts": len(prompts),
        "prompt_tokens": max(map(len, prompts)),
        "seconds": {way: spread(seconds) for way, seconds in spent.items()},
        "times_as_fast": spread(ratios(spent["whole"], spent["shared"])),
        "furthest_apart": float(np.abs(found["whole"] - found["shared"]).max()),
    }


def main() -> None:
    """Measure and write the result."""
    with tempfile.TemporaryDirectory() as scratch:
        chosen = zoo(Path(scratch))
        base = Base(chosen.base)
        subject = SmallSubject("bench", base, {"target": Casting(base.adapter(chosen.adapters[0])), "base": Casting()})
    found = {carrier: measured(base, subject, carrier) for carrier in CARRIERS}
    base.engine.close()
    fast = found[CARRIERS[0]]["times_as_fast"]["median"] >= BAR
    close = all(one["furthest_apart"] < CLOSE for one in found.values())
    save("first_token", {"zoo": chosen.name, "carriers": found, "bar": BAR, "passed": fast and close})


if __name__ == "__main__":
    main()
