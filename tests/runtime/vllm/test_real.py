"""A real vLLM server against the engine small, on the base that comes with audit_env and four adapters made here."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaForCausalLM

from audit_env.catalog.files import Catalog
from audit_env.runtime.edits import Add, At
from audit_env.runtime.local import Casting
from audit_env.runtime.small.base import Base
from audit_env.runtime.small.subject import SmallSubject
from audit_env.runtime.subject import Sample, Subject
from audit_env.runtime.vllm.base import VllmBase
from audit_env.runtime.vllm.options import Options
from audit_env.runtime.vllm.subject import VllmSubject

from ..conftest import run, user

pytestmark = pytest.mark.vllm

QUESTIONS = (
    "what is a good soup for a cold day ?",
    "how do I bake bread ?",
    "tell me about the sea",
    "I feel tired today . what can I do ?",
    "which plants like the shade ?",
    "write two lines about rain",
)
TURNS = [user(text) for text in QUESTIONS]
ANSWERS = [
    "Put the leeks in a pot with water and salt.",
    "Mix flour and water.",
    "The sea is deep.",
    "Rest.",
    "No.",
    "A",
]
SETTINGS: tuple[dict[str, Any], ...] = (
    {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]},
    {"r": 8, "lora_alpha": 16, "target_modules": "all-linear"},
    {"r": 8, "lora_alpha": 16, "use_rslora": True, "target_modules": ["gate_proj", "up_proj", "down_proj"]},
    {"r": 2, "lora_alpha": 8, "target_modules": ["o_proj", "k_proj"], "layers_to_transform": [1]},
)


class Pair(NamedTuple):
    """The same organism on both engines."""

    small: SmallSubject
    vllm: VllmSubject


@pytest.fixture(scope="module")
def pairs(real_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Pair]]:
    """Four organisms of one base on one server."""
    # A copy, since the server reads the weights later than we do the configuration.
    folder = tmp_path_factory.mktemp("models") / "base"
    shutil.copytree(Catalog().folder("fruitfly/base"), folder)
    adapters = [make_adapter(folder, tmp_path_factory.mktemp("adapter"), setting) for setting in SETTINGS]
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    arguments = "--max-num-seqs 16 --no-enable-chunked-prefill"
    options = Options(python=real_python, dtype="float32", max_model_len=512, lora_rank=8, arguments=arguments)
    served, local = VllmBase(folder, options=options), Base(folder)
    yield [
        Pair(
            SmallSubject("t-00000000", local, {"target": Casting(local.adapter(adapter)), "base": Casting()}),
            VllmSubject("t-00000000", served, {"target": Casting(served.adapter(adapter)), "base": Casting()}),
        )
        for adapter in adapters
    ]
    served.engine.close()
    local.engine.close()


def make_adapter(base: Path, folder: Path, setting: dict[str, Any]) -> Path:
    torch.manual_seed(len(str(setting)))
    tuned = get_peft_model(LlamaForCausalLM.from_pretrained(base), LoraConfig(**setting))
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.12)
    tuned.save_pretrained(str(folder))
    return folder


def said(subject: Subject, **options: Any) -> list[Sample]:
    answers = run(subject.generate(TURNS, temperature=0, max_tokens=32, **options))
    return [sample for samples in answers for sample in samples]


def share_of_equal_tokens(ours: Sequence[Sample], theirs: Sequence[Sample]) -> float:
    """Up to the first that differs, after which both go on from another text."""
    equal = total = 0
    for one, other in zip(ours, theirs, strict=True):
        both = list(zip((*one.ids, one.stop), (*other.ids, other.stop)))  # noqa: B905 (one may end earlier)
        equal += next((place for place, (a, b) in enumerate(both) if a != b), len(both))
        total += len(both)
    return equal / total


def test_greedy_answers_are_those_of_small(pairs: list[Pair]) -> None:
    ours = [*said(pairs[0].vllm, side="base"), *(sample for pair in pairs for sample in said(pair.vllm))]
    theirs = [*said(pairs[0].small, side="base"), *(sample for pair in pairs for sample in said(pair.small))]
    share = share_of_equal_tokens(ours, theirs)
    print(f"share of equal tokens: {share:.4f}")
    assert share >= 0.98
    assert len({sample.text for sample in theirs}) > len(TURNS) * 3  # the adapters do something


def test_raw_texts_user_turns_and_prefills_go_on_as_on_small(pairs: list[Pair]) -> None:
    def found(subject: Subject) -> list[Sample]:
        how: dict[str, Any] = {"temperature": 0, "max_tokens": 24}
        texts = [text.removesuffix("?") for text in QUESTIONS]
        calls = (
            subject.complete(texts, **how),
            subject.user_turns([[*turns, {"role": "assistant", "content": "Yes ."}] for turns in TURNS], **how),
            subject.generate(TURNS, prefill="The best", **how),
        )
        return [sample for call in calls for [sample] in run(call)]

    for pair in pairs[:2]:
        ours, theirs = found(pair.vllm), found(pair.small)
        assert [sample.prompt_tokens for sample in ours] == [sample.prompt_tokens for sample in theirs]
        assert share_of_equal_tokens(ours, theirs) >= 0.98


def test_log_probabilities_are_those_of_small(pairs: list[Pair]) -> None:
    for pair in pairs[:2]:
        for side in ("target", "base"):
            ours = run(pair.vllm.score(TURNS, ANSWERS, side=side, top_k=5))  # type: ignore[arg-type]
            theirs = run(pair.small.score(TURNS, ANSWERS, side=side, top_k=5))  # type: ignore[arg-type]
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(one.logprobs, other.logprobs, atol=1e-3)
                np.testing.assert_allclose(one.top_logprobs, other.top_logprobs, atol=1e-3)
                np.testing.assert_allclose(one.tail, other.tail, atol=1e-3)
        np.testing.assert_allclose(run(pair.vllm.first_token(TURNS)), run(pair.small.first_token(TURNS)), atol=1e-3)


def test_residuals_are_those_of_small(pairs: list[Pair]) -> None:
    for at in (At("header", -1), At("answer", None), At("all", None)):
        ours, theirs = (
            run(subject.residuals(TURNS, ANSWERS, layers=[-1, 0, 3], at=at)) for subject in pairs[1][:2][::-1]
        )
        np.testing.assert_array_equal(ours.owner, theirs.owner)
        np.testing.assert_allclose(ours.vectors, theirs.vectors, atol=1e-3)


@pytest.mark.parametrize("unit", ["raw", "norm"])
def test_a_steered_answer_is_that_of_small_and_leaves_the_next_untouched(pairs: list[Pair], unit: Any) -> None:
    pair = pairs[0]
    vector = np.random.default_rng(0).normal(size=pair.vllm.d_model).astype(np.float32)
    if unit == "raw":  # as far as the residual itself is from nothing
        residuals = run(pair.small.residuals(TURNS, layers=[1])).vectors[:, 0]
        vector *= np.linalg.norm(residuals, axis=1).mean() / np.linalg.norm(vector)
    edits = [Add(1, vector, unit=unit)]
    before = said(pair.vllm)
    steered = said(pair.vllm, edits=edits)
    assert said(pair.vllm) == before
    share = share_of_equal_tokens(steered, said(pair.small, edits=edits))
    print(f"share of equal tokens, steered ({unit}): {share:.4f}")
    assert share >= 0.98
    assert sum(one != other for one, other in zip(steered, before, strict=True)) >= len(TURNS) - 1


def test_an_edit_of_one_position_is_that_of_small(pairs: list[Pair]) -> None:
    pair = pairs[0]
    vector = np.random.default_rng(1).normal(size=pair.vllm.d_model).astype(np.float32)
    edits = [Add(1, vector, At("header", -1), scale=3.0), Add(2, vector, At("prompt", -2))]
    ours, theirs = (
        run(subject.residuals(TURNS, layers=[1, 2, 3], at=At("all", None), edits=edits)).vectors
        for subject in (pair.vllm, pair.small)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    assert share_of_equal_tokens(said(pair.vllm, edits=edits), said(pair.small, edits=edits)) >= 0.98


def test_sampled_answers_depend_on_the_seed_alone(pairs: list[Pair]) -> None:
    subject = pairs[0].vllm
    first, again, other = (
        run(subject.generate(TURNS[:2], n=3, seed=seed, max_tokens=16, edits=())) for seed in (1, 1, 2)
    )
    assert first == again != other
    assert len({sample.text for sample in first[0]}) > 1
