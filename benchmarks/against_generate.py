"""Speed of the small engine against `generate` of transformers, both on one batch of 64 rows.

    python benchmarks/against_generate.py

Greedy and sampled, every row to the same length; processor time of one thread each. Greedy answers are compared.
"""

import dataclasses
import tempfile
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import torch
from common import in_turns, ratios, save, spread, zoo

from audit_env.runtime.request import Request
from audit_env.runtime.sampling import Sampling
from audit_env.runtime.small.base import Base

ROWS, PROMPT_TOKENS, NEW_TOKENS, ROUNDS = 64, 48, 64, 7
BAR = 1.4


def main() -> None:
    """Measure and write the result."""
    from transformers import LlamaForCausalLM

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        chosen = zoo(Path(scratch))
        base = Base(chosen.base)
        model = LlamaForCausalLM.from_pretrained(chosen.base, dtype=torch.float32).eval()
    base.model.shape = dataclasses.replace(base.model.shape, end_tokens=frozenset())
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(10, base.model.shape.vocab_size, (ROWS, PROMPT_TOKENS), generator=generator)
    said: dict[str, list[list[int]]] = {}

    def ours(temperature: float) -> Callable[[], None]:
        def once() -> None:
            requests: list[Request[Any]] = [
                Request(tuple(prompt), None, Sampling(row, temperature), NEW_TOKENS)
                for row, prompt in enumerate(prompts.tolist())
            ]
            base.engine.generate(requests)
            wait([request.future for request in requests])
            said[f"ours {temperature}"] = [list(request.future.result().ids) for request in requests]

        return once

    def theirs(temperature: float) -> Callable[[], None]:
        def once() -> None:
            drawn = {"do_sample": True, "temperature": temperature, "top_k": 0} if temperature else {"do_sample": False}
            lengths = {"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS}
            with torch.inference_mode():
                found = model.generate(prompts, attention_mask=torch.ones_like(prompts), **lengths, **drawn)
            said[f"theirs {temperature}"] = found[:, PROMPT_TOKENS:].tolist()

        return once

    result: dict[str, Any] = {"zoo": chosen.name, "work": f"{ROWS} rows, {PROMPT_TOKENS} + {NEW_TOKENS} tokens"}
    for name, temperature in (("greedy", 0.0), ("sampled", 1.0)):
        ways = {"ours": ours(temperature), "generate": theirs(temperature)}
        spent = in_turns(ways, ROUNDS).processor
        result[name] = {
            "seconds": {way: spread(seconds, 3) for way, seconds in spent.items()},
            "times_as_fast": spread(ratios(spent["generate"], spent["ours"])),
        }
    base.engine.close()
    # `min_new_tokens` keeps the end of the turn from being said, which ours may say: compared up to there.
    end = model.generation_config.eos_token_id
    alike = sum(
        all(a == b for a, b in zip(one[: one.index(end)] if end in one else one, other, strict=False))
        for one, other in zip(said["ours 0.0"], said["theirs 0.0"], strict=True)
    )
    result |= {"greedy_rows_alike": alike, "bar": BAR, "passed": result["greedy"]["times_as_fast"]["median"] >= BAR}
    save("against_generate", result)


if __name__ == "__main__":
    main()
