"""Other architectures on the hf engine, against transformers and peft computed one conversation at a time."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    MambaConfig,
    MistralConfig,
    PreTrainedConfig,
    Qwen2Config,
)

from audit_env.errors import WeightsError
from audit_env.runtime.hf.base import HfBase
from audit_env.runtime.hf.batch import Batch
from audit_env.runtime.hf.gates import check_model
from audit_env.runtime.hf.options import Options
from audit_env.runtime.hf.subject import HfSubject
from audit_env.runtime.local import Casting
from audit_env.runtime.request import Request
from audit_env.runtime.sampling import Sampling

from .conftest import VOCAB, header_residuals, prompts, run, save_tokenizer, user

CLOSE = 1e-4
TALKS = [user(text) for text in prompts(6, seed=1)]
ENDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.15,
    **ENDS,
}
CONFIGS: dict[str, Callable[[], PreTrainedConfig]] = {
    "qwen2": lambda: Qwen2Config(**SIZES, tie_word_embeddings=True),
    "gemma2": lambda: Gemma2Config(**SIZES, head_dim=16, sliding_window=8, final_logit_softcapping=3.0),
    "mistral": lambda: MistralConfig(**SIZES, sliding_window=8),
    "granite": lambda: GraniteConfig(**SIZES, logits_scaling=4.0),
    "gpt2": lambda: GPT2Config(
        vocab_size=VOCAB, n_embd=64, n_layer=3, n_head=4, n_positions=256, initializer_range=0.15, **ENDS
    ),
    "gpt_neox": lambda: GPTNeoXConfig(**{**SIZES, "num_key_value_heads": None}),
}


@dataclass
class Made:
    """A random model with an adapter, on the engine and by peft."""

    subject: HfSubject
    peft: Any

    @property
    def parts(self) -> Any:
        return self.subject._base.model.parts

    def prompts(self) -> list[torch.Tensor]:
        chat = self.subject._base.chat
        return [torch.tensor([chat.prompt(talk).ids]) for talk in TALKS]


def save_model(config: PreTrainedConfig, root: Path) -> None:
    """A random model of a configuration and one adapter of it."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        if parameter.dim() == 1:  # norms and biases, which are all one or zero in a fresh model
            parameter.data += torch.empty_like(parameter).uniform_(-0.3, 0.3)
    model.save_pretrained(str(root / "base"))
    save_tokenizer(root / "base")
    tuned = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    for name, parameter in tuned.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.12)
    tuned.save_pretrained(str(root / "adapter"))


@pytest.fixture(scope="module", params=CONFIGS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    root = tmp_path_factory.mktemp(request.param)
    save_model(CONFIGS[request.param](), root)
    base = HfBase(root / "base", options=Options(device="cpu"))
    subject = HfSubject("t-00000000", base, {"target": Casting(base.adapter(root / "adapter")), "base": Casting()})
    model = AutoModelForCausalLM.from_pretrained(root / "base", dtype=torch.float32)
    yield Made(subject, PeftModel.from_pretrained(model, root / "adapter").eval())
    base.engine.close()


@pytest.mark.parametrize("side", ["target", "base"])
def test_greedy_answers_are_those_of_transformers(made: Made, side: Any) -> None:
    found = run(made.subject.generate(TALKS, side=side, temperature=0, max_tokens=24))
    for ids, [sample] in zip(made.prompts(), found, strict=True):
        options = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "do_sample": False, "max_new_tokens": 24}
        if side == "base":
            with made.peft.disable_adapter():
                theirs = made.peft.generate(**options)
        else:
            theirs = made.peft.generate(**options)
        assert list(sample.ids) == [token for token in theirs[0, ids.shape[1] :].tolist() if token != 2]


@torch.inference_mode()
def test_rows_that_join_a_running_batch_answer_as_alone(made: Made, request: pytest.FixtureRequest) -> None:
    """Where layers keep more than keys and values, or not all of them, rows wait for the end of the batch."""
    model = made.subject._base.model
    adapter = made.subject._sides["target"].adapter
    asked = [Request(tuple(ids[0].tolist()), adapter, Sampling(7), 20) for ids in made.prompts()]
    alone = [replace(one, future=Future()) for one in asked]
    batch = Batch(model)
    for one in alone:
        batch.ask([one])
        while not batch.idle:
            batch.advance()
    joined = 0
    for one in asked:
        batch.ask([one])
        before = batch._running
        for _ in range(3):
            batch.advance()
        joined += batch._running is before is not None
    while not batch.idle:
        batch.advance()
    assert [one.future.result(0) for one in asked] == [one.future.result(0) for one in alone]
    assert batch._running is None
    if "gemma2" not in request.node.name and "mistral" not in request.node.name:
        assert joined


@pytest.mark.parametrize("layer", [-1, 0, 1, 2])
def test_residuals_stand_before_the_final_norm(made: Made, layer: int) -> None:
    found = header_residuals(made.subject, TALKS, layer=layer)
    for ids, residual in zip(made.prompts(), found, strict=True):
        with torch.no_grad():
            states = made.peft(input_ids=ids, output_hidden_states=True).hidden_states
        last = layer == made.subject.n_layers - 1  # transformers has the last one normed already
        ours = made.parts.norm(torch.from_numpy(residual)) if last else torch.from_numpy(residual)
        np.testing.assert_allclose(ours.detach(), states[layer + 1][0, -1], rtol=CLOSE, atol=CLOSE)


def test_first_tokens_are_the_last_logits_of_the_prompt(made: Made) -> None:
    found = run(made.subject.first_token(TALKS))
    for ids, logs in zip(made.prompts(), found, strict=True):
        with torch.no_grad():
            theirs = made.peft(input_ids=ids).logits[0, -1].log_softmax(-1)
        np.testing.assert_allclose(logs, theirs, atol=CLOSE)


def test_the_last_residual_reads_as_the_models_logits(made: Made) -> None:
    subject = made.subject
    residuals = header_residuals(subject, TALKS, side="base", layer=subject.n_layers - 1)
    logits = run(subject.unembed(residuals))
    logs = torch.from_numpy(logits).log_softmax(-1)
    np.testing.assert_allclose(logs, run(subject.first_token(TALKS, side="base")), atol=CLOSE)
    raw = run(subject.unembed(residuals, normed=False))
    np.testing.assert_allclose(raw, residuals @ subject.unembedding().T, rtol=CLOSE, atol=CLOSE)


def test_the_gain_of_the_final_norm_is_what_it_multiplies_by(made: Made) -> None:
    x = torch.randn(50, made.subject.d_model, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        normed = made.parts.norm(x) - made.parts.norm(torch.zeros_like(x))  # without a bias
    if isinstance(made.parts.norm, torch.nn.LayerNorm):
        x = x - x.mean(1, keepdim=True)
    wanted = x / x.pow(2).mean(1, keepdim=True).sqrt() * torch.from_numpy(made.subject.final_norm())
    np.testing.assert_allclose(normed, wanted, atol=1e-3)


def test_the_adapter_is_the_difference_between_the_sides(made: Made) -> None:
    factors = made.subject.lora()
    assert {name.split(".")[0:2][1] for name in factors} == {"0", "1", "2"}
    assert all(name.startswith("layers.") for name in factors)
    adapted = {name: module for name, module in made.peft.named_modules() if hasattr(module, "get_delta_weight")}
    assert len(adapted) == len(factors)
    for name, module in adapted.items():
        delta = module.get_delta_weight("default").detach()
        delta = delta.T if module.fan_in_fan_out else delta  # GPT-2 keeps its maps the other way around
        one = factors["layers." + name.split(f"{made.parts.layers_name}.", 1)[1]]
        np.testing.assert_allclose(one.scale * one.b @ one.a, delta, atol=1e-5)


def test_a_tied_head_is_the_embedding(made: Made) -> None:
    tied = made.peft.config.tie_word_embeddings
    assert np.array_equal(made.subject.embedding(), made.subject.unembedding()) == tied


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda parts: {"norm": torch.nn.Identity()}, "last residual, final norm and head"),
        (lambda parts: {"softcap": 0.5}, "head"),
        (lambda parts: {"factor": 2.0}, "head"),
        (lambda parts: {"layers": parts.layers[:-1]}, "last residual"),
    ],
)
def test_parts_that_are_not_the_models_are_found_out(
    made: Made, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Any], dict[str, Any]], reason: str
) -> None:
    model = made.subject._base.model
    monkeypatch.setattr(model, "parts", replace(model.parts, **spoil(model.parts)))
    monkeypatch.setattr(model, "n_layers", len(model.parts.layers))
    with torch.inference_mode(), pytest.raises(WeightsError, match=rf"config.json: field 'model_type'.*{reason}"):
        made.subject._base.engine.run(check_model).result()


@pytest.mark.parametrize("made", ["gpt2"], indirect=True)  # rotary positions are relative: a shift changes nothing
def test_positions_that_padding_shifts_are_found_out(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    model = made.subject._base.model
    monkeypatch.setattr(model, "_takes_positions", False)
    with pytest.raises(WeightsError, match="padding on the left changes its logits"):
        made.subject._base.engine.run(check_model).result()


def test_an_architecture_without_keys_and_values_is_refused(tmp_path: Path) -> None:
    config = MambaConfig(vocab_size=VOCAB, hidden_size=32, num_hidden_layers=2, **ENDS)
    AutoModelForCausalLM.from_config(config).save_pretrained(str(tmp_path))
    save_tokenizer(tmp_path)
    with pytest.raises(WeightsError, match=r"field 'model_type' is 'mamba'.*does not keep keys and values in a cache"):
        HfBase(tmp_path, options=Options(device="cpu"))
