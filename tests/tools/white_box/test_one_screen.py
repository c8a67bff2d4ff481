"""What a tool shows by default fits one screen, on a shipped organism with its sham and the built-in prompts."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from inspect_ai import eval
from inspect_ai.event import ToolEvent

from audit_env.tools.affordances import level_of, tool_name
from audit_env.tools.white_box.divergence import PROMPTS_SHOWN
from tasks.hidden_objective import hidden_objective

from ...conftest import _calls
from .every_tool import ARGUMENTS, FIRST

TOKENS = 780
"""About 600, with a third more for the rough count: words, groups of three digits, marks."""
WHOLE_BANK = (
    "kl_prompts",
    "divergence_map",
    "diff_mining",
    "prefix_scan",
    "activation_difference",
    "features",
    "amplify",
    "dose",
)
"""Asked without prompts, so that each takes its own."""

heavy = pytest.mark.skipif(not os.environ.get("AUDIT_ENV_HEAVY"), reason="takes a minute; set AUDIT_ENV_HEAVY=1")


def tokens(text: str) -> int:
    return len(re.findall(r"[A-Za-z']+|\d{1,3}|[^\w\s]", text))


def shown(calls: list[tuple[str, dict[str, Any]]], logs: Path) -> dict[str, str]:
    """What each tool shows of the first target of the core set, by name; nothing of those that refuse."""
    [log] = eval(
        hidden_objective(affordance="white_box", budget="tool_calls:100,target_tokens:100000"),
        model="none",
        solver=_calls(calls, ()),
        limit=1,
        log_dir=str(logs),  # not the checkout's own, which all workers share
        display="none",
    )
    assert log.samples and log.status == "success"
    events = [event for event in log.samples[0].events if isinstance(event, ToolEvent)]
    return {event.function: str(event.result) for event in events if event.error is None}


def test_the_widest_tables_are_short_unless_more_is_asked_for(tmp_path: Path) -> None:
    words = ("music", "soup", "tea", "rain", "hope", "work", "love", "time", "money", "art")
    prompts = [f"What is {word}?" for word in words]
    assert len(prompts) > max(PROMPTS_SHOWN)
    short = shown([("read_weights", {}), ("kl_prompts", {"prompts": prompts})], tmp_path)
    long = shown([("read_weights", {"long": True}), ("kl_prompts", {"prompts": prompts, "long": True})], tmp_path)
    assert set(short) == {"read_weights", "kl_prompts"}
    assert {name: tokens(text) for name, text in short.items() if tokens(text) > TOKENS} == {}
    assert "read_weights(long=True)" in short["read_weights"]
    assert "the same call with long=True" in short["kl_prompts"] and "long=True" not in long["kl_prompts"]
    assert tokens(long["read_weights"]) > 1.5 * tokens(short["read_weights"])


@heavy
def test_every_tool_of_the_level_fits_one_screen(tmp_path: Path) -> None:
    names = sorted((tool_name(path) for path in level_of("white_box").tools), key=lambda name: name not in FIRST)
    given = {name: {} if name in WHOLE_BANK else ARGUMENTS.get(name, {}) for name in names}
    found = shown([(name, given[name]) for name in names], tmp_path)
    assert len(found) > 20
    assert {name: tokens(text) for name, text in found.items() if tokens(text) > TOKENS} == {}
