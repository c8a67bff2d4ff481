"""Every tool on a real vLLM server, on the base and the adapters that come with audit_env, beside `small`.

Engines draw with luck of their own, so every answer is greedy here: what is left then is the same on both, but for
rounding. That sampled answers follow from their seeds is tested beside the engine (`tests/runtime/vllm/test_real.py`).
"""

import os
import re
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher
from importlib import import_module
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Card, Engine, GameSet
from audit_env.runtime import cast
from audit_env.runtime.subject import Subject
from audit_env.tools.banks import Bank
from audit_env.tools.white_box.activation_oracle import activation_oracle
from audit_env.tools.white_box.introspection import introspection
from audit_env.tools.white_box.verbalisers import VARIABLES
from tests.runtime.vllm.real import python_with_vllm
from tests.tools.white_box.every_tool import LENS, Answered, called, documented

pytestmark = pytest.mark.vllm
heavy = pytest.mark.skipif(not os.environ.get("AUDIT_ENV_HEAVY"), reason="another server; set AUDIT_ENV_HEAVY=1")

ORGANISM, OTHER = "fruitfly/defend_objects.transcripts.none", "fruitfly/secret_loyalty.transcripts.none"
SHAM = "fruitfly/sham.transcripts.none.s3"
ON_EITHER = ("complete", "likelihood", "logprobs", "prefix_scan", "read_weights")
"""Tools that call what a plain server gives, each in its own way."""
PART = 5
"""Every so many prompts of a bank are asked: whole distributions take a server 50 ms each."""
ALIKE = 0.95
"""Share of the words of a tool's text, figures included, that are those of `small`."""


class Shipped(Catalog):
    """The organisms that come with audit_env, on an engine, with a set of two."""

    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self._engine = engine

    def card(self, organism_id: str) -> Card:
        return super().card(organism_id).model_copy(update={"engine": self._engine})

    def game_set(self, name_or_path: object) -> GameSet:
        return GameSet(name="tiny", description="For tests.", targets=(ORGANISM, OTHER), reference_sham=SHAM)


class Greedy:
    """A handle whose answers are greedy, whatever is asked for."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject

    def __getattr__(self, name: str) -> Any:
        given = getattr(self._subject, name)
        if name not in ("generate", "complete", "user_turns"):
            return given
        return lambda *args, **options: given(*args, **{**options, "temperature": 0.0})


class Played(NamedTuple):
    """What came of the same calls on both engines."""

    small: dict[str, Answered]
    vllm: dict[str, Answered]


@pytest.fixture
def on(play: Callable[..., Any], zoo: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Calls tools on an engine; those that ask a whole bank of prompts, or of words, with a part of it."""
    monkeypatch.setattr(Bank, "texts", lambda self: [prompt.text for prompt in self.prompts[::PART]])
    monkeypatch.setattr(Bank, "topics", lambda self: [prompt.topic for prompt in self.prompts[::PART]])
    monkeypatch.setattr(import_module("audit_env.tools.white_box.trigger_scan"), "ORDINARY", 10)
    for name in ("subject", "wearing"):
        handle = getattr(cast, name)
        monkeypatch.setattr(cast, name, lambda *args, handle=handle, **options: Greedy(handle(*args, **options)))

    def calls(engine: Engine, *names: str, target: str = ORGANISM, **more: Any) -> dict[str, Answered]:
        zoo.catalog = lambda: Shipped(engine)
        return called(play, target, *names, **more)

    return calls


@pytest.fixture
def zoo() -> SimpleNamespace:
    return SimpleNamespace()


@pytest.fixture(scope="module", params=[LENS, pytest.param("vllm", marks=heavy)])
def column(request: pytest.FixtureRequest) -> Iterator[str]:
    """A column of the page, and in the environment what starts such a server, as the first call does."""
    settings = {
        "AUDIT_ENV_VLLM_PYTHON": python_with_vllm(),
        "AUDIT_ENV_VLLM_DTYPE": "float32",
        "AUDIT_ENV_VLLM_ARGUMENTS": "--no-enable-chunked-prefill",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_LENS_DISABLE": "" if request.param == LENS else "1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        yield request.param
        cast.release_all()


def test_what_the_table_promises_answers_as_small_does_and_the_rest_refuses(
    on: Callable[..., dict[str, Answered]], column: str
) -> None:
    served = documented()[column]
    # On the plain server those alone that it serves in a way of its own, since the others were asked the same before.
    promised = [name for name, yes in served.items() if yes and (column == LENS or name in ON_EITHER)]
    agree(Played(on("small", *promised), on("vllm", *promised)))
    others = [name for name, yes in served.items() if not yes]
    refused = {name: one.error for name, one in on("vllm", *others).items()}
    reasons = ("engines that can: ", "no tool has made a")
    assert {name: error for name, error in refused.items() if not any(one in error for one in reasons)} == {}


def test_another_target_does_not_read_alike(on: Callable[..., dict[str, Answered]], column: str) -> None:
    names = [name for name in ON_EITHER if name != "complete"]
    ours, theirs = (on("small", *names, target=target) for target in (ORGANISM, OTHER))
    assert max(likeness(ours[name].text, theirs[name].text) for name in names) < ALIKE


def test_adapters_that_a_run_names_are_worn_as_on_small(
    on: Callable[..., dict[str, Answered]], column: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that is named here is no verbaliser, but the way to wear it is the same."""
    folder = Catalog().folder(OTHER)
    for variable in VARIABLES.values():
        monkeypatch.setenv(variable, str(folder))
    tools = {"introspection": introspection, "activation_oracle": activation_oracle}
    promised = [name for name in tools if column == LENS or name == "introspection"]
    more = {"tools": tuple(tools.values())}
    agree(Played(on("small", *promised, **more), on("vllm", *promised, **more)))
    if column != LENS:
        assert "cannot give 'residuals'" in on("vllm", "activation_oracle", **more)["activation_oracle"].error


def agree(played: Played) -> None:
    """Both engines answered, and alike."""
    found = {name: likeness(played.small[name].text, one.text) for name, one in played.vllm.items()}
    for name, share in found.items():
        seconds = played.small[name].seconds, played.vllm[name].seconds
        print(f"{name}: {share:.3f} alike, {seconds[1]:.1f} s ({seconds[0]:.1f} s on small)")
    assert {name: one.error for name, one in played.vllm.items() if one.error} == {}
    assert {name: share for name, share in found.items() if share < ALIKE} == {}


def likeness(one: str, other: str) -> float:
    """Share of the words of two texts, figures included, that agree in order."""
    return SequenceMatcher(None, words(one), words(other), autojunk=False).ratio()


def words(text: str) -> list[str]:
    return re.findall(r"[^\s|*]+", text)
