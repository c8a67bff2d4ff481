"""Which tools an engine can serve: what the table of audit_env/tools/README.md says is what happens."""

import os
from typing import Any

import pytest

from audit_env.runtime import cast
from audit_env.runtime.spans import Placed
from audit_env.runtime.subject import GIVERS, Capability, Dose, Subject
from audit_env.runtime.vllm.lens import edit_fields
from audit_env.tools.affordances import level_of, tool_name
from tests.tools.white_box.every_tool import LENS, documented, refusals

heavy = pytest.mark.skipif(not os.environ.get("AUDIT_ENV_HEAVY"), reason="takes a minute; set AUDIT_ENV_HEAVY=1")

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


class Limited:
    """A handle that gives no more than another engine would."""

    def __init__(self, subject: Subject, engine: str) -> None:
        self._subject, self._engine = subject, engine
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
            edits = tuple(kwargs.get("edits", ()))
            if self._engine == LENS:  # refuses what vllm-lens cannot do
                edit_fields(Placed(edits, (range(1),) * len(edits)), 1, whole=False)
            return given(*args, **kwargs)

        return called


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
