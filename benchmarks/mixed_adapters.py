"""Speed of a batch whose rows have several adapters, against rows of one adapter.

    python benchmarks/mixed_adapters.py

Full batches on the small engine, every row to the same length; processor time.
"""

import dataclasses
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import wait
from pathlib import Path

import torch
from common import FEW, in_turns, ratios, save, spread, zoo

from audit_env.runtime.request import Request
from audit_env.runtime.sampling import Sampling
from audit_env.runtime.small.adapter import Adapter
from audit_env.runtime.small.base import Base

ROWS, PROMPT_TOKENS, NEW_TOKENS, ROUNDS, SEVERAL = 64, 32, 48, 7, 16
BAR = 0.85
"""Of the speed with one adapter, for a batch of four."""


def main() -> None:
    """Measure and write the result."""
    with tempfile.TemporaryDirectory() as scratch:
        chosen = zoo(Path(scratch))
        base = Base(chosen.base)
        adapters = [base.adapter(folder) for folder in chosen.adapters[:SEVERAL]]
    base.model.shape = dataclasses.replace(base.model.shape, end_tokens=frozenset())
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(10, base.model.shape.vocab_size, (ROWS, PROMPT_TOKENS), generator=generator).tolist()

    def answering(chosen: Sequence[Adapter | None]) -> Callable[[], None]:
        def once() -> None:
            requests = [
                Request(tuple(prompt), chosen[row % len(chosen)], Sampling(row), NEW_TOKENS)
                for row, prompt in enumerate(prompts)
            ]
            base.engine.generate(requests)
            wait([request.future for request in requests])

        return once

    kinds: dict[str, Sequence[Adapter | None]] = {"none": [None], "1": adapters[:1], "4": adapters[:FEW]}
    kinds[str(len(adapters))] = adapters
    spent = in_turns({kind: answering(chosen) for kind, chosen in kinds.items()}, ROUNDS).processor
    base.engine.close()
    speeds = {kind: spread(ratios(spent["1"], seconds)) for kind, seconds in spent.items()}
    result = {
        "zoo": chosen.name,
        "work": f"{ROWS} rows, {PROMPT_TOKENS} + {NEW_TOKENS} tokens",
        "tokens_per_second": {kind: round(ROWS * NEW_TOKENS / min(seconds)) for kind, seconds in spent.items()},
        "speed_by_adapters_over_one": speeds,
        "bar": BAR,
        "passed": speeds["4"]["median"] >= BAR,
    }
    save("mixed_adapters", result)


if __name__ == "__main__":
    main()
