"""What a call costs outside the engine: our provider against `mockllm`, in the same eval.

    python benchmarks/provider_overhead.py

The engine answers at once with the same tokens; rendering, tokenizing, decoding and the way to the process that
computes and back are ours. A whole eval of many calls, each with a message of its own, one after the other and from
several samples at a time: processor time of the run's process, that of both, and wall time. One after the other, the
run's process sleeps at each call, and what it does next, Inspect's own work too, finds its caches cold.
"""

import asyncio
import tempfile
from functools import partial
from operator import add
from pathlib import Path
from typing import Any

import psutil
from at_once import ORGANISM, SAID
from common import in_turns, ratios, save, spread
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageUser, GenerateConfig, Model, ModelOutput, ModelUsage, get_model
from inspect_ai.solver import Generate, Solver, TaskState, solver

import audit_env._registry  # noqa: F401
from audit_env.runtime.forwarding.process import EngineProcess

CALLS, ROUNDS, AT_A_TIME = 200, 7, 20
BAR = 1.5


@solver
def many_calls(calls: int) -> Solver:
    """Many calls, one after the other, with the model of the eval."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        model = get_model()
        for number in range(calls):
            asked = f"What can you tell me about {state.input_text} number {number}?"
            await model.generate([ChatMessageUser(content=asked)])
        return state

    return solve


def play(model: Model, samples: int, log_dir: Path) -> None:
    """One eval."""
    dataset = [Sample(input=f"soup {number}") for number in range(samples)]
    task = Task(dataset=dataset, solver=many_calls(CALLS // samples), config=GenerateConfig(max_tokens=16))
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
    EngineProcess.PROGRAM = (str(Path(__file__).with_name("at_once.py")),)
    ours = get_model(f"organism/{ORGANISM}", memoize=False)
    mock = get_model("mockllm/model", memoize=False, custom_outputs=mocked)
    assert asyncio.run(ours.generate("hi")).completion == SAID
    with tempfile.TemporaryDirectory() as scratch:
        found = {
            name: measured(ours, mock, samples, Path(scratch))
            for name, samples in (("one after the other", 1), (f"{AT_A_TIME} at a time", AT_A_TIME))
        }
    ratio = found["one after the other"]["ratio"]["run's process"]
    save("provider_overhead", {"calls": CALLS, "found": found, "bar": BAR, "passed": ratio["median"] <= BAR})


def measured(ours: Model, mock: Model, samples: int, log_dir: Path) -> dict[str, Any]:
    """Milliseconds a call, and how many times those of `mockllm` ours are."""
    [computing] = psutil.Process().children()
    beside: list[float] = []

    def play_ours() -> None:
        before = sum(computing.cpu_times()[:2])
        play(ours, samples, log_dir)
        beside.append(sum(computing.cpu_times()[:2]) - before)

    spent = in_turns({"ours": play_ours, "mock": partial(play, mock, samples, log_dir)}, ROUNDS)
    taken = {
        "run's process": (spent.processor["ours"], spent.processor["mock"]),
        "both processes": ([*map(add, spent.processor["ours"], beside[1:])], spent.processor["mock"]),
        "wall time": (spent.wall["ours"], spent.wall["mock"]),
    }
    return {
        "milliseconds": {
            whose: {
                name: spread([1000 * one / CALLS for one in seconds])
                for name, seconds in zip(("ours", "mock"), two, strict=True)
            }
            for whose, two in taken.items()
        },
        "ratio": {whose: spread(ratios(*two)) for whose, two in taken.items()},
    }


if __name__ == "__main__":
    main()
