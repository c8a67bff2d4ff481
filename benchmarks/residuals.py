"""What white-box calls cost beside a plain forward pass: all layers captured, and edits while generating.

    python benchmarks/residuals.py

Processor time, on the small engine, of the fruitfly base alone.
"""

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import in_turns, ratios, save, spread, zoo

from audit_env.runtime.edits import Add, At
from audit_env.runtime.local import Casting
from audit_env.runtime.small.base import Base
from audit_env.runtime.small.model import Padded
from audit_env.runtime.small.subject import SmallSubject

ROWS, ROUNDS, NEW_TOKENS = 64, 7, 24
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
    """Measure and write the result."""
    with tempfile.TemporaryDirectory() as scratch:
        chosen = zoo(Path(scratch))
        base = Base(chosen.base)
    spent = in_turns(ways(base), ROUNDS).processor
    base.engine.close()
    found = {name: spread(ratios(spent[name], spent["plain forward"])) for name in BARS}
    edited = spread(ratios(spent["generation with an edit"], spent["generation"]))
    save(
        "residuals",
        {
            "zoo": chosen.name,
            "rows": ROWS,
            "seconds": {name: spread(seconds, 4) for name, seconds in spent.items()},
            "times_a_plain_forward": found,
            "generation_with_an_edit_over_plain": edited,
            "bars": BARS,
            "passed": all(found[name]["median"] <= bar for name, bar in BARS.items()),
        },
    )


if __name__ == "__main__":
    main()
