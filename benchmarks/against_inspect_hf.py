"""Speed of an eval with an organism: our provider against Inspect's `hf/`, on the same weights.

    python benchmarks/against_inspect_hf.py

64 samples of four turns, greedy, as both come, and with 64 calls at a time. Wall time, of which `hf/` spends much
waiting, and processor time of the run's process, in which ours does not compute. Where the machine is shared, wall time
counts against whoever computes and not against whoever waits, so that only an idle machine shows the ratio of wall
times that a user meets. A model that answers at once (`mockllm`) shows what Inspect itself takes, and so the most that
any provider could reach.
"""

import tempfile
from pathlib import Path
from typing import Any

from common import TOPICS, in_turns, ratios, save, spread, zoo
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessage, ChatMessageUser, GenerateConfig, Model, ModelOutput, ModelUsage, get_model
from inspect_ai.solver import Generate, Solver, TaskState, solver

from audit_env.catalog.integrity import sha256
from audit_env.catalog.models import Card, Recipe, WeightsFile
from audit_env.runtime import cast

SAMPLES, TURNS, ANSWER_TOKENS, ROUNDS = 64, 4, 32, 3
BAR = 8.0


@solver
def conversation() -> Solver:
    """Four turns about a topic, with the model of the eval."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        messages: list[ChatMessage] = [ChatMessageUser(content=f"What can you tell me about {state.input_text}?")]
        for _ in range(TURNS):
            output = await get_model().generate(messages)
            messages += [output.message, ChatMessageUser(content=f"And what else about {state.input_text}?")]
        return state

    return solve


def _said() -> ModelOutput:
    output = ModelOutput.from_content("mockllm", "soup and bread " * 8)
    output.usage = ModelUsage(input_tokens=40, output_tokens=24, total_tokens=64)  # else Inspect looks for a tokenizer
    return output


def play(model: Model, log_dir: Path, connections: int | None) -> None:
    """One eval."""
    settings = GenerateConfig(temperature=0.0, max_tokens=ANSWER_TOKENS, max_connections=connections)
    topics = [f"{one} and {TOPICS[number // len(TOPICS)]}" for number, one in enumerate(TOPICS * 4)][:SAMPLES]
    task = Task(dataset=[Sample(input=topic) for topic in topics], solver=conversation(), config=settings)
    options: dict[str, Any] = {"log_dir": str(log_dir), "display": "none", "max_samples": SAMPLES}
    [log] = eval(task, model=model, **options)
    if log.status != "success":
        raise RuntimeError(str(log.error))


def main() -> None:
    """Measure and write the result."""
    with tempfile.TemporaryDirectory() as scratch:
        measured = zoo(Path(scratch))
        weights = WeightsFile(file="model.safetensors", sha256=sha256(measured.base / "model.safetensors"))
        card = Card(id="bench/base", standing="base", weights=weights, recipe=Recipe(instil="none"), licence="MIT")
        cast.bind("t-00000000", card, measured.base, base_folder=measured.base, sham_folder=None)
        folder = str(measured.base)
        models = {
            "ours": get_model(cast.model_name("t-00000000"), memoize=False),
            "hf": get_model("hf/base", memoize=False, model_path=folder, tokenizer_path=folder, do_sample=False),
            "at once": get_model("mockllm/model", memoize=False, custom_outputs=lambda *_: _said()),
        }

        def way(name: str, connections: int | None) -> Any:
            def once() -> None:
                play(models[name], Path(scratch) / "logs", connections)

            return once

        settings = {"as they come": None, f"{SAMPLES} calls at a time": SAMPLES}
        ways = {(name, setting): way(name, count) for setting, count in settings.items() for name in models}
        spent = in_turns(ways, ROUNDS)
    found = {
        setting: {
            clock: {
                "seconds": {name: spread(of[name, setting]) for name in models},
                "times_as_fast": spread(ratios(of["hf", setting], of["ours", setting])),
                "at_once_times_as_fast": spread(ratios(of["hf", setting], of["at once", setting])),
            }
            for clock, of in spent._asdict().items()
        }
        for setting in settings
    }
    best = found["as they come"]["wall"]["times_as_fast"]["median"]
    save(
        "against_inspect_hf",
        {
            "zoo": measured.name,
            "work": f"{SAMPLES} samples x {TURNS} turns, {ANSWER_TOKENS} tokens at most",
            "found": found,
            "bar": BAR,
            "passed": best >= BAR,
        },
    )


if __name__ == "__main__":
    main()
