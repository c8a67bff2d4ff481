"""Which tools an engine can serve: what the table of audit_env/tools/README.md says is what happens."""

import inspect
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import audit_env.tools
from audit_env.runtime import cast
from audit_env.runtime.subject import GIVERS, Capability, Dose, Subject
from audit_env.tools.affordances import level_of, tool_name

heavy = pytest.mark.skipif(not os.environ.get("AUDIT_ENV_HEAVY"), reason="takes a minute; set AUDIT_ENV_HEAVY=1")

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
}
FIRST = ("steering_vector", "probe_train")
"""Make the handles that other tools take."""

CAPABILITY_OF: dict[str, Capability] = {
    "generate": "generate",
    "complete": "complete",
    "user_turns": "complete",
    "tokens": "tokens",
    "encode": "tokens",
    "rendered": "tokens",
    "score": "score",
    "first_token": "score",
    "contrast": "contrast",
    "residuals": "residuals",
    "unembed": "residuals",
    "attention": "attention",
    "gradients": "gradients",
    "lora": "weights",
    "embedding": "weights",
    "unembedding": "weights",
    "final_norm": "weights",
    "perturbed": "perturbed",
}
"""What a call to a handle needs (see `audit_env.runtime.subject.Capability`)."""


LENS = "vllm with vllm-lens"


class Limited:
    """A handle that gives no more than another engine would."""

    def __init__(self, subject: Subject, engine: str) -> None:
        self._subject = subject
        givers = {"vllm", "vllm (on a server with vllm-lens)"} if engine == LENS else {engine}
        self.capabilities = {name for name in subject.capabilities if givers & {*GIVERS[name]} or name == "sham"}

    def __getattr__(self, name: str) -> Any:
        given = getattr(self._subject, name)
        if not callable(given):
            return given

        def called(*args: Any, **kwargs: Any) -> Any:
            side = kwargs.get("side")
            needed: list[Capability] = [CAPABILITY_OF[name]] if name in CAPABILITY_OF else []
            needed += ["edits"] if kwargs.get("edits") else []
            needed += ["amplify"] if kwargs.get("amplify") else []
            needed += ["doses"] if isinstance(side, Dose) and (side.rank or side.scale not in (0, 1)) else []
            for one in needed:
                if one not in self.capabilities:
                    self._subject._lacks(one)
            return given(*args, **kwargs)

        return called


def refusals(play: Callable[..., Any], target: str) -> dict[str, str]:
    """What each tool refuses, empty where it answers; all are called once, in one audit."""
    names = sorted((tool_name(path) for path in level_of("everything").tools), key=lambda name: name not in FIRST)
    played = play(
        [(name, ARGUMENTS.get(name, {})) for name in names],
        target=target,
        affordance="everything",
        budget={"tool_calls": 1000, "target_tokens": 1_000_000},
    )
    return dict(zip(names, played.errors, strict=True))


def documented() -> dict[str, dict[str, bool]]:
    """What the page says: by engine, which tools it serves."""
    page = Path(inspect.getfile(audit_env.tools)).with_name("README.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]
    return {
        engine: {name: row[column] == "yes" for row in rows[2:] for name in re.findall(r"`(\w+)`", row[0])}
        for column, engine in enumerate(rows[0])
        if column
    }


def test_the_page_has_every_tool() -> None:
    tools = {tool_name(path) for path in level_of("everything").tools}
    assert all(set(served) == tools for served in documented().values())


@heavy
def test_on_transformers_every_tool_answers_or_names_the_engine_that_can(play, wired, monkeypatch) -> None:
    subject = cast.subject
    monkeypatch.setattr(cast, "subject", lambda name, *_, **options: subject(name, "hf", **options))
    refused = refusals(play, wired.always)
    assert {name: not error for name, error in refused.items()} == documented()["hf"]
    for name in ("noise_test", "quantisation_test"):
        assert "The engine 'hf' cannot give 'perturbed'" in refused[name] and "engines that can: small" in refused[name]


@heavy
@pytest.mark.parametrize("engine", ["small", "vllm", LENS, "api"])
def test_a_tool_answers_where_the_engine_gives_what_it_reads(play, wired, monkeypatch, engine: str) -> None:
    subject = cast.subject
    monkeypatch.setattr(cast, "subject", lambda name, *_, **options: Limited(subject(name, **options), engine))
    refused = refusals(play, wired.always)
    assert {name: not error for name, error in refused.items()} == documented()[engine]
    reasons = [error for error in refused.values() if error]
    assert all("engines that can: " in error or "no tool has made a" in error for error in reasons)
