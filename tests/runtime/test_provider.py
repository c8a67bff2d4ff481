"""Organisms as Inspect models, in real evals, offline."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from inspect_ai import Task, eval
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog
from inspect_ai.model import (
    CachePolicy,
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    ContentReasoning,
    GenerateConfig,
    ModelOutput,
    get_model,
)
from inspect_ai.scorer import includes
from inspect_ai.solver import Generate, Solver, TaskState, generate, solver
from inspect_ai.tool import ToolInfo

import audit_env._registry  # noqa: F401
from audit_env.catalog.files import Catalog
from audit_env.runtime import cast
from audit_env.runtime.provider import _content

from .conftest import run, user

pytestmark = pytest.mark.usefixtures("fresh_cast", "offline", "catalog")

ORGANISMS = ("tiny/base", "tiny/gloom.a", "tiny/flattery.b", "tiny/sham.one")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any connection is an error."""

    def refuse(*args: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


@pytest.fixture
def catalog(zoo: Any, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    found = Catalog(zoo.root)
    monkeypatch.setattr(cast, "_catalog", lambda: found)
    return found


def answer(
    messages: list[ChatMessage], organism: str = "tiny/gloom.a", tools: list[ToolInfo] | None = None, **config: Any
) -> ModelOutput:
    model = get_model(f"organism/{organism}", memoize=False)
    return run(model.generate(messages, tools=tools or [], config=GenerateConfig(**config)))


@solver
def four_turns() -> Solver:
    """Four turns with the organism that the sample names, and one that counts tokens."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        model = get_model(cast.model_name(state.metadata["organism"]), role="organism")
        messages: list[ChatMessage] = [ChatMessageUser(content=state.input_text)]
        for _ in range(4):
            output = await model.generate(messages, config=GenerateConfig(max_tokens=12, seed=7))
            messages += [output.message, ChatMessageUser(content="and tea ?")]
            assert output.usage is not None
            state.store.set("tokens", state.store.get("tokens", 0) + output.usage.total_tokens)
        assert await model.count_tokens("what is good soup ?") == 5
        state.messages = messages
        return state

    return solve


def played(samples: list[Sample], log_dir: Path, **options: Any) -> EvalLog:
    task = Task(dataset=samples, solver=four_turns(), scorer=includes())
    [log] = eval(task, log_dir=str(log_dir), display="none", **options)
    assert log.status == "success", log.error
    return log


def texts(log: EvalLog) -> list[list[str]]:
    return [[message.text for message in sample.messages] for sample in log.samples or []]


def test_an_eval_with_several_organisms_is_the_same_at_any_concurrency(tmp_path: Path) -> None:
    samples = [
        Sample(id=f"{word}-{number}", input=f"what is {word} ?", target="x", metadata={"organism": organism})
        for number, organism in enumerate(ORGANISMS)
        for word in ("soup", "bread", "tea", "music", "rain")
    ]
    wide = played(samples, tmp_path / "wide", model="none", max_samples=64)
    narrow = played(samples, tmp_path / "narrow", model="none", max_samples=1)
    assert texts(wide) == texts(narrow)
    assert len({str(text) for text in texts(wide)}) == len(samples)
    used = {name.split("@")[0]: usage for name, usage in wide.stats.model_usage.items()}
    assert set(used) == {f"organism/{organism}" for organism in ORGANISMS}
    counted = sum(sample.store["tokens"] for sample in wide.samples or [])
    assert sum(usage.total_tokens for usage in used.values()) == counted > 0


def test_an_organism_can_be_the_model_of_any_eval(tmp_path: Path, catalog: Catalog) -> None:
    task = Task(dataset=[Sample(input="what is soup ?", target="soup")], solver=generate(), scorer=includes(), epochs=3)
    options: dict[str, Any] = {"log_dir": str(tmp_path), "display": "none"}
    [log] = eval(task, model="organism/tiny/gloom.a", **options)
    assert log.status == "success", log.error
    fingerprint = catalog.card("tiny/gloom.a").weights.sha256[:8]  # type: ignore[union-attr]
    assert log.eval.model == f"organism/tiny/gloom.a@{fingerprint}"
    assert len({sample.output.completion for sample in log.samples or []}) == 3  # epochs differ, without a seed
    [again] = eval(task, model=log.eval.model, **options)
    assert [sample.output.completion for sample in again.samples or []] == [
        sample.output.completion for sample in log.samples or []
    ]


def test_the_engine_is_a_model_argument(tmp_path: Path) -> None:
    task = Task(dataset=[Sample(input="what is soup ?", target="soup")], solver=generate(), scorer=includes(), epochs=3)
    options: dict[str, Any] = {"model": "organism/tiny/gloom.a", "log_dir": str(tmp_path), "display": "none"}
    logs = [eval(task, model_args={"engine": engine}, **options)[0] for engine in ("hf", "small")]
    assert [log.eval.model_args for log in logs] == [{"engine": "hf"}, {"engine": "small"}]
    said = [[sample.output.completion for sample in log.samples or []] for log in logs]
    assert said[0] == said[1] and len(set(said[0])) == 3
    assert {subject.engine for subject in cast._subjects.values()} == {"hf", "small"}
    with pytest.raises(PrerequisiteError, match="engine='x': the engines are small, hf, vllm"):
        get_model("organism/tiny/gloom.a", engine="x")


def test_the_cache_knows_organisms_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSPECT_CACHE_DIR", str(tmp_path))
    policy = CachePolicy(expiry="1h")
    said: list[ChatMessage] = [ChatMessageUser(content="what is good soup ?")]
    plain = [answer(said, organism).completion for organism in ORGANISMS]
    for _ in range(2):
        models = [get_model(f"organism/{organism}", memoize=False) for organism in ORGANISMS]
        assert [run(model.generate(said, cache=policy)).completion for model in models] == plain
    assert len(set(plain)) > 1


def test_counts_and_stop_reasons_are_exact() -> None:
    said: list[ChatMessage] = [ChatMessageSystem(content="you are kind"), ChatMessageUser(content="what is soup ?")]
    turns = [{"role": "system", "content": "you are kind"}, *user("what is soup ?")]
    subject = cast.subject("tiny/gloom.a")
    seen = set()
    for seed in range(30):
        output = answer(said, max_tokens=30, seed=seed)
        [[sample]] = run(subject.generate([turns], max_tokens=30, seed=seed))
        assert output.completion == sample.text
        assert output.usage is not None
        assert (output.usage.input_tokens, output.usage.output_tokens) == (
            sample.prompt_tokens,
            sample.generated_tokens,
        )
        assert output.usage.input_tokens == 1 + 2 * 2 + 3 + 4 + 1  # BOS, two turns' marks, their words, the header
        assert output.stop_reason == {"stop": "stop", "length": "max_tokens"}[sample.stop]
        seen.add(output.stop_reason)
    assert seen == {"stop", "max_tokens"}


def test_a_trailing_assistant_message_is_a_prefill() -> None:
    said: list[ChatMessage] = [ChatMessageUser(content="what is soup ?"), ChatMessageAssistant(content="it is")]
    [[sample]] = run(cast.subject("tiny/gloom.a").generate([user("what is soup ?")], prefill="it is", max_tokens=256))
    assert answer(said).completion == sample.text


def test_several_choices_are_several_answers() -> None:
    output = answer([ChatMessageUser(content="what is soup ?")], num_choices=4, max_tokens=10)
    assert len({choice.message.text for choice in output.choices}) == 4


def test_a_stop_sequence_cuts_the_answer() -> None:
    said: list[ChatMessage] = [ChatMessageUser(content="what is soup ?")]
    whole = answer(said, seed=1).completion
    cut = answer(said, seed=1, stop_seqs=[whole.split()[2]])
    assert cut.completion == whole[: whole.index(whole.split()[2])] and cut.stop_reason == "stop"


def test_thinking_is_told_apart_from_the_answer() -> None:
    [thought, said] = _content("<think>soup is good</think> yes")  # type: ignore[misc]
    assert isinstance(thought, ContentReasoning)
    assert (thought.reasoning, said.text) == ("soup is good", "yes")  # type: ignore[union-attr]
    [thought, said] = _content("<think>soup is")  # type: ignore[misc]
    assert (thought.reasoning, said.text) == ("soup is", "")  # type: ignore[union-attr]
    assert _content("no <think> here") == "no <think> here"


def test_a_full_context_ends_the_answer_and_not_the_eval() -> None:
    output = answer([ChatMessageUser(content="soup " * 300)])
    assert output.stop_reason == "model_length" and output.completion == ""
    assert "reads at most 256" in (output.error or "")


def test_tools_are_refused_in_words() -> None:
    with pytest.raises(Exception, match="cannot call tools"):
        answer([ChatMessageUser(content="hello")], tools=[ToolInfo(name="x", description="x")])


def test_an_unknown_organism_is_refused_before_anything_runs() -> None:
    with pytest.raises(PrerequisiteError, match=r"unknown organism 'tiny/glom.a'.*tiny/gloom.a"):
        get_model("organism/tiny/glom.a")


def test_nothing_heavy_is_imported_with_the_registry() -> None:
    code = (
        "import sys, audit_env, audit_env._registry;"
        "print([name for name in ('torch', 'transformers', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
