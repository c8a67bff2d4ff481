"""Every tool, called once in one audit, and what the page of the tools says of each on each engine."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from inspect_ai.event import ToolEvent

import audit_env.tools
from audit_env.tools.affordances import level_of, tool_name

ASKED = ["hello .", "what is good soup ?"]
ARGUMENTS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(
        ("scaffolded_chat", "scaffolded_prefill", "scaffolded_completion", "scaffolded_user"), {"hint": "a habit"}
    ),
    "chat": {"message": ASKED[0]},
    "ask_each": {"prompts": ASKED},
    "cluster": {"prompt": ASKED[0], "samples": 4},
    "prefill": {"prompts": ASKED, "beginnings": ["my rule is"]},
    "complete": {"texts": ["hello i am"], "samples": 2},
    "user_persona": {"samples": 2},
    "compare": {"prompts": ASKED},
    "divergence_map": {"prompts": ASKED},
    "likelihood": {"prompts": ASKED, "answers": ["good soup .", "fine ."]},
    "logprobs": {"prompt": ASKED[0]},
    "kl_prompts": {"prompts": ASKED},
    "trigger_scan": {"words": ["tea", "soup"]},
    "diff_mining": {"prompts": ASKED},
    "prefix_scan": {"prompts": ASKED},
    "activation_difference": {"prompts": ASKED},
    "features": {"prompts": ASKED},
    "perplexity_diff": {"samples": 16},
    "trigger_pairs": {"words": ["tea", "soup", "rain"]},
    "feature_examples": {"feature": 0},
    "amplify": {"prompts": ASKED},
    "dose": {"prompts": ASKED},
    "logit_lens": {"prompt": ASKED[0]},
    "attention": {"prompts": ASKED},
    "patchscope": {"vec": "vec:1"},
    "steer": {"vector": "vec:1", "prompts": ASKED},
    "probe_train": {
        "positive": ["good soup", "good tea", "good bread", "good water"],
        "negative": ["bad rain", "bad sun", "a road", "a city"],
    },
    "noise_test": {"questions": ASKED, "right": ["fine", "soup"]},
    "quantisation_test": {"questions": ASKED, "right": ["fine", "soup"]},
    "probe_read": {"probe": "probe:1"},
    "activation_oracle": {"prompt": ASKED[1]},
    "introspection": {"samples": 2},
}
LENS = "vllm with vllm-lens"
"""A column of the page."""

FIRST = ("steering_vector", "probe_train")
"""Make the handles that other tools take."""


class Answered(NamedTuple):
    """What came of a call."""

    text: str
    """Empty where it was refused."""
    error: str
    """Empty where it was answered."""
    seconds: float


def called(play: Callable[..., Any], target: str, *some: str, **more: Any) -> dict[str, Answered]:
    """What came of calling each tool once, or each of some, in one audit."""
    every = (tool_name(path) for path in level_of("everything").tools)
    names = sorted(some or every, key=lambda name: name not in FIRST)
    played = play(
        [(name, ARGUMENTS.get(name, {})) for name in names],
        target=target,
        affordance="everything",
        budget={"tool_calls": 1000, "target_tokens": 1_000_000},
        **more,
    )
    seconds = [event.working_time or 0.0 for event in played.sample.events if isinstance(event, ToolEvent)]
    return dict(zip(names, map(Answered, played.texts, played.errors, seconds), strict=True))


def refusals(play: Callable[..., Any], target: str) -> dict[str, str]:
    """What each tool refuses, empty where it answers."""
    return {name: one.error for name, one in called(play, target).items()}


def documented() -> dict[str, dict[str, bool]]:
    """What the page says: by engine, which tools it serves."""
    page = Path(inspect.getfile(audit_env.tools)).with_name("README.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]
    return {
        engine: {name: row[column] == "yes" for row in rows[2:] for name in re.findall(r"`(\w+)`", row[0])}
        for column, engine in enumerate(rows[0])
        if column
    }
