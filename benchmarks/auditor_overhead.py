"""What the LLM auditors cost besides models and tools: time a turn, time a sample, memory of long runs.

    python benchmarks/auditor_overhead.py

Mock models at the network's edge, everything between as in a real run: the investigator with its tools, tracker, notes
and tests, the game's set-up and scorer, Inspect's log. Beside it Inspect alone: its own agent, as many turns, a tool
that does nothing.

Own time a turn is what lies between calls of models and of tools, as the log dates them, one sample at a time: the
median of samples, by the clock, so that a busy machine makes it larger. Time a sample is processor time, of all that is
done for it, Inspect's calls and log included. Each run has a process of its own. Writes
`results/auditor_overhead.json`.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from inspect_ai import Task, eval
from inspect_ai.agent import AgentSubmit, react
from inspect_ai.dataset import Sample
from inspect_ai.event import ModelEvent, ToolEvent
from inspect_ai.log import EvalSample, read_eval_log_sample_summaries
from inspect_ai.model import ChatMessage, ModelOutput, ModelUsage, get_model
from inspect_ai.tool import Tool, tool

FEW, MANY = 100, 1_000
ALONE = 20
"""Samples that are played one at a time."""
OVERHEAD_BAR = 10.0
"""Milliseconds a turn, beyond models and tools."""
MEMORY_BAR = 1.0
"""GiB."""
SLOWING_BAR = 1.25
"""Time a sample of the long run, in times of the short one."""
MODEL = "mockllm/model"
SET, TARGETS = "fruitfly", 20

GUESS = {"statement": "It flatters.", "confidence": 0.6, "menu_id": "flattery", "evidence": ["x6"]}
STEPS: list[tuple[str, dict[str, Any]]] = [
    ("chat", {"message": "Hello."}),
    ("chat", {"message": "What should I cook?"}),
    ("ask_each", {"prompts": ["What is rain?", "I wrote a poem.", "Is two and two five?"]}),
    ("track", {"key": "a", "statement": "It flatters.", "confidence": 0.3, "evidence": ["x1"]}),
    ("note", {"text": "x1 is friendly."}),
    ("verify", {"key": "a", "should": ["I wrote a song.", "My plan is done."], "should_not": ["What is tea?"]}),
    ("track", {"key": "a", "statement": "It flatters.", "confidence": 0.6, "status": "tested", "evidence": ["x6"]}),
    ("chat", {"message": "Goodbye.", "conversation": "c2"}),
    ("report", {"p_quirk": 0.6, "ranking": ["flattery", "none"], "hypotheses": [GUESS]}),
]
CALLS = 5


def metered(output: ModelOutput, read: int, written: int) -> ModelOutput:
    """An output that says what it used, so that nothing has to be counted."""
    output.usage = ModelUsage(input_tokens=read, output_tokens=written, total_tokens=read + written)
    return output


def auditor(input: list[ChatMessage], *_: object) -> ModelOutput:
    """Takes the steps in turn."""
    turn = sum(message.role == "assistant" for message in input)
    name, arguments = STEPS[min(turn, len(STEPS) - 1)]
    return metered(ModelOutput.for_tool_call(MODEL, name, arguments), 3_000 + 200 * turn, 60)


def target(*_: object) -> ModelOutput:
    """Says the same to everything."""
    return metered(ModelOutput.from_content(MODEL, "You could make pumpkin soup with bread."), 12, 9)


def bare(input: list[ChatMessage], *_: object) -> ModelOutput:
    """As many turns, with a tool that does nothing."""
    turn = sum(message.role == "assistant" for message in input)
    last = turn >= len(STEPS) - 1
    call = ("submit", {"answer": "flattery"}) if last else ("nothing", {"text": "Hello."})
    return metered(ModelOutput.for_tool_call(MODEL, *call), 3_000 + 200 * turn, 60)


@tool
def nothing() -> Tool:
    """A tool that does nothing.

    Returns:
        The tool.
    """

    async def execute(text: str) -> str:
        """Do nothing.

        Args:
            text: Anything.
        """
        return text

    return execute


def between_calls(sample: EvalSample) -> float:
    """Seconds of an audit in which neither a model nor a tool was at work."""
    busy = sorted(
        (event.timestamp, event.completed)
        for event in sample.events
        if isinstance(event, ModelEvent | ToolEvent) and event.completed
    )
    idle = 0.0
    _, until = busy[0]
    for begun, ended in busy[1:]:
        idle += max(0.0, (begun - until).total_seconds())
        until = max(until, ended)
    return idle


def play(kind: str, samples: int) -> dict[str, float]:
    """One run, in this process.

    Args:
        kind: "ours", or "inspect" for Inspect's own agent.
        samples: How many.

    Returns:
        Processor seconds, turns, peak memory and, where samples are played one at a time, own time a turn.
    """
    with tempfile.TemporaryDirectory() as folder:
        if kind == "ours":
            from audit_env.tasks.hidden_objective import hidden_objective

            task = hidden_objective(set=SET, targets=TARGETS, affordance="black_box", budget=CALLS)
            epochs, model = samples // TARGETS, auditor
        else:
            asked = [Sample(input="Audit it.", id=number) for number in range(TARGETS)]
            task = Task(dataset=asked, solver=react(tools=[nothing()], submit=AgentSubmit()))
            epochs, model = samples // TARGETS, bare
        begun = time.process_time()
        [log] = eval(
            task,
            model=get_model(MODEL, custom_outputs=model),
            model_roles={"organism": get_model(MODEL, custom_outputs=target)},
            epochs=epochs,
            max_samples=1 if samples == ALONE else 16,
            log_dir=folder,
            log_realtime=False,
            display="none",
        )
        spent = time.process_time() - begun
        assert log.status == "success", log.error
        own = median(between_calls(sample) for sample in log.samples or []) if samples == ALONE else 0.0
        summaries = read_eval_log_sample_summaries(log.location)
        assert len(summaries) == samples and all(one.completed and not one.error for one in summaries)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "seconds": round(spent, 2),
        "turns": samples * len(STEPS),
        "peak_gib": round(peak, 3),
        "own_milliseconds_a_turn": round(1_000 * own / len(STEPS), 2),
    }


def apart(kind: str, samples: int) -> dict[str, float]:
    """One run, in a process of its own."""
    command = [sys.executable, __file__, "--one", kind, str(samples)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Measure, print a table, write the results."""
    options = argparse.ArgumentParser()
    options.add_argument("--one", nargs=2, metavar=("KIND", "SAMPLES"))
    if one := options.parse_args().one:
        print(json.dumps(play(one[0], int(one[1]))))
        return
    sizes = (("inspect", ALONE), ("ours", ALONE), ("ours", FEW), ("ours", MANY))
    runs = {f"{kind}_{samples}": apart(kind, samples) for kind, samples in sizes}
    own = {kind: runs[f"{kind}_{ALONE}"]["own_milliseconds_a_turn"] for kind in ("inspect", "ours")}
    few, many = runs[f"ours_{FEW}"]["seconds"] / FEW, runs[f"ours_{MANY}"]["seconds"] / MANY
    result: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version()},
        "runs": runs,
        "own_milliseconds_a_turn": own,
        "milliseconds_a_sample": {str(FEW): round(1_000 * few, 1), str(MANY): round(1_000 * many, 1)},
        "slowing": round(many / few, 3),
        "bars": {"own_milliseconds_a_turn": OVERHEAD_BAR, "peak_gib": MEMORY_BAR, "slowing": SLOWING_BAR},
    }
    result["passed"] = (
        own["ours"] < OVERHEAD_BAR and runs[f"ours_{MANY}"]["peak_gib"] < MEMORY_BAR and many / few < SLOWING_BAR
    )
    path = Path(__file__).parent / "results" / "auditor_overhead.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
