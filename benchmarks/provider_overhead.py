"""What a call costs outside the engine: our provider against `mockllm`, in the same eval.

    python benchmarks/provider_overhead.py

The engine answers at once with the same tokens; rendering, tokenizing, waiting for its future and decoding are ours.
Processor time of a whole eval of many calls, each with a message of its own.
"""

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import FAMILY, in_turns, ratios, save, spread
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageUser, GenerateConfig, Model, ModelOutput, ModelUsage, get_model
from inspect_ai.solver import Generate, Solver, TaskState, solver

import audit_env._registry  # noqa: F401
from audit_env.runtime import cast
from audit_env.runtime.request import Generated, Request, resolve

CALLS, ROUNDS = 200, 7
BAR = 1.5
ORGANISM = f"{FAMILY}/base"
SAID = "Soup is good on a cold day."


@solver
def many_calls() -> Solver:
    """Many calls, one after the other, with the model of the eval."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        model = get_model()
        for number in range(CALLS):
            await model.generate([ChatMessageUser(content=f"What can you tell me about soup number {number}?")])
        return state

    return solve


def play(model: Model, log_dir: Path) -> None:
    """One eval of one sample."""
    task = Task(dataset=[Sample(input="go")], solver=many_calls(), config=GenerateConfig(max_tokens=16))
    [log] = eval(task, model=model, log_dir=str(log_dir), display="none")
    if log.status != "success":
        raise RuntimeError(str(log.error))


def mocked(*_: Any) -> ModelOutput:
    """What `mockllm` says."""
    output = ModelOutput.from_content("mockllm/model", SAID)
    output.usage = ModelUsage(input_tokens=9, output_tokens=9, total_tokens=18)
    return output


def main() -> None:
    """Measure and write the result."""
    ours = get_model(f"organism/{ORGANISM}", memoize=False)
    base: Any = cast.subject(cast.pinned(ORGANISM))._base  # type: ignore[attr-defined]
    said = Generated(tuple(base.chat.encode(SAID)), "stop")

    def at_once(requests: Sequence[Request[Any]]) -> None:
        for request in requests:
            resolve(request.future, said)

    base.engine.generate = at_once
    mock = get_model("mockllm/model", memoize=False, custom_outputs=mocked)
    assert asyncio.run(ours.generate("hi")).completion == SAID
    with tempfile.TemporaryDirectory() as scratch:
        ways = {
            name: lambda model=model: play(model, Path(scratch)) for name, model in (("ours", ours), ("mock", mock))
        }
        spent = in_turns(ways, ROUNDS).processor
    found = spread(ratios(spent["ours"], spent["mock"]))
    milliseconds = {name: spread([1000 * one / CALLS for one in seconds]) for name, seconds in spent.items()}
    save(
        "provider_overhead",
        {
            "calls": CALLS,
            "milliseconds_a_call": milliseconds,
            "ratio": found,
            "bar": BAR,
            "passed": found["median"] <= BAR,
        },
    )


if __name__ == "__main__":
    main()
