"""How much the last token of a prompt looks at the others: against transformers, and between the engines."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from audit_env.runtime.hf.base import HfBase
from audit_env.runtime.hf.options import Options
from audit_env.runtime.hf.subject import HfSubject
from audit_env.runtime.local import Casting, LocalSubject
from audit_env.runtime.subject import Dose

from .conftest import Folders, Pair, Twins, prompts, run, user
from .test_hf_architectures import CONFIGS, save_model

CLOSE = 1e-5


@pytest.mark.parametrize("twins", ["random"], indirect=True)
def test_shares_are_those_of_transformers(
    subject: LocalSubject[Any, Any], twins: Twins, pair: Pair, folders: Folders
) -> None:
    plain = LlamaForCausalLM.from_pretrained(folders.base, dtype=torch.float32, attn_implementation="eager")
    for talk, shares in zip(twins.talks, run(subject.attention(twins.talks, side="base")), strict=True):
        with torch.no_grad():
            patterns = plain(torch.tensor([subject.rendered(talk)]), output_attentions=True).attentions
        np.testing.assert_allclose(shares, torch.stack([one[0, :, -1] for one in patterns]), atol=CLOSE)
        np.testing.assert_allclose(shares.sum(axis=-1), 1, atol=CLOSE)


def test_the_engines_agree_and_batches_change_nothing(twins: Twins) -> None:
    for side in ("target", "sham", Dose(scale=0.5)):
        ours, theirs = (run(one.attention(twins.talks, side=side)) for one in (twins.hf, twins.small))
        for talk, one, other in zip(twins.talks, ours, theirs, strict=True):
            assert one.shape == (twins.small.n_layers, one.shape[1], len(twins.small.rendered(talk)))
            np.testing.assert_allclose(one, other, atol=1e-4)
            [alone] = run(twins.small.attention([talk], side=side))
            np.testing.assert_allclose(alone, other, atol=CLOSE)
    base = run(twins.small.attention(twins.talks[:1], side="base"))[0]
    assert np.abs(run(twins.small.attention(twins.talks[:1]))[0] - base).max() > 0.01


@pytest.mark.parametrize("twins", ["random"], indirect=True)
def test_a_hidden_prompt_is_not_shown(subject: LocalSubject[Any, Any], twins: Twins) -> None:
    hidden = "be odd , please"
    prompted = type(subject)("t-00000002", subject._base, {"target": Casting(None, hidden), "base": Casting()})
    talk = twins.talks[0]
    [shown] = run(prompted.attention([talk]))
    [whole] = run(prompted.attention([[{"role": "system", "content": hidden}, *talk]], side="base"))
    tokens = subject.rendered(talk)
    assert shown.shape[-1] == len(tokens) < whole.shape[-1]
    np.testing.assert_allclose(shown[..., 1:], whole[..., 1 - len(tokens) :], atol=CLOSE)
    np.testing.assert_allclose(shown[..., 0], whole[..., 0], atol=CLOSE)
    assert (shown.sum(axis=-1) < 0.999).any()


def test_reading_attention_leaves_everything_else_as_it_was(subject: LocalSubject[Any, Any], twins: Twins) -> None:
    before = run(subject.first_token(twins.talks))
    run(subject.attention(twins.talks))
    np.testing.assert_array_equal(run(subject.first_token(twins.talks)), before)


@pytest.mark.parametrize("architecture", ["gemma2", "gpt2"])
def test_other_architectures_show_how_they_attend(architecture: str, tmp_path: Path) -> None:
    save_model(CONFIGS[architecture](), tmp_path)
    base = HfBase(tmp_path / "base", options=Options(device="cpu"))
    subject = HfSubject("t-00000000", base, {"target": Casting(base.adapter(tmp_path / "adapter")), "base": Casting()})
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32, attn_implementation="eager")
    talks = [user(text) for text in prompts(3, seed=1)]
    before = run(subject.first_token(talks))
    for talk, shares in zip(talks, run(subject.attention(talks, side="base")), strict=True):
        with torch.no_grad():
            patterns = model(torch.tensor([subject.rendered(talk)]), output_attentions=True).attentions
        np.testing.assert_allclose(shares, torch.stack([one[0, :, -1] for one in patterns]), atol=1e-4)
    np.testing.assert_array_equal(run(subject.first_token(talks)), before)
    base.engine.close()


def test_a_conversation_is_rendered_without_what_a_side_hides(pair: Pair) -> None:
    subject, talk = pair.subject(1), user(prompts(1)[0])
    assert subject.rendered(talk) == list(pair.base.chat.prompt(talk).ids)
    answered = subject.rendered(talk, "yes")
    assert answered[: len(subject.rendered(talk))] == subject.rendered(talk)
    assert answered[len(subject.rendered(talk)) :] == pair.base.chat.continuation(talk, "yes")
