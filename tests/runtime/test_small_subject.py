"""Readings of a subject against slow, plain computations."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from audit_env.errors import CapabilityError, ParameterError
from audit_env.runtime.edits import Edit
from audit_env.runtime.subject import GIVERS, Conversation, Sample, Subject, Voice

from .conftest import Pair, header_residuals, prompts, run, user

CONVERSATIONS = [user(text) for text in prompts(9, seed=1)]
ANSWERS = ["the fox", "yes , you could visit the mountains .", "", *prompts(6, seed=2)]


def peft_logs(pair: Pair, conversation: Conversation, answer: str, name: str) -> tuple[torch.Tensor, list[int]]:
    """Log-probabilities at each answer token, `[answer, vocab]`, one conversation at a time; and the answer's ids."""
    prompt = list(pair.base.chat.prompt(list(conversation)).ids)  # type: ignore[arg-type]
    said = pair.base.chat.encode(f" {answer}") if answer else []
    ids = torch.tensor([[*prompt, *said]])
    with torch.no_grad():
        logits = pair.peft(input_ids=ids, adapter_names=[name]).logits[0]
    return logits[len(prompt) - 1 : len(prompt) - 1 + len(said)].double().log_softmax(-1), said


def test_scores_are_the_log_probabilities_of_the_answers_tokens(pair: Pair) -> None:
    for side, name in (("target", "a1"), ("base", "__base__"), ("sham", "a2")):
        found = run(pair.subject(2, sham=3).score(CONVERSATIONS, ANSWERS, side=side))  # type: ignore[arg-type]
        for conversation, answer, scores in zip(CONVERSATIONS, ANSWERS, found, strict=True):
            logs, said = peft_logs(pair, conversation, answer, name)
            np.testing.assert_allclose(scores.logprobs, logs[range(len(said)), said], atol=1e-4)
            assert scores.logprobs.dtype == np.float32 and scores.logprobs.shape == (len(said),)


def test_contrast_equals_the_plain_computation(pair: Pair) -> None:
    found = run(pair.subject(1, sham=2).contrast(CONVERSATIONS, ANSWERS, side="target", other="sham"))
    for conversation, answer, contrast in zip(CONVERSATIONS, ANSWERS, found, strict=True):
        (log_p, said), (log_q, _) = (peft_logs(pair, conversation, answer, name) for name in ("a0", "a1"))
        p, q = log_p.exp(), log_q.exp()
        assert contrast.tokens == len(said)
        np.testing.assert_allclose(contrast.gained, (p - q).sum(0), atol=1e-4)
        np.testing.assert_allclose(contrast.contribution, (p * (log_p - log_q)).sum(0), atol=1e-4)
        wanted = float((p * (log_p - log_q)).sum(-1).mean()) if said else 0.0
        assert contrast.kl == pytest.approx(wanted, abs=1e-4)


def test_a_side_has_no_contrast_with_itself(pair: Pair) -> None:
    for contrast in run(pair.subject(target=0).contrast(CONVERSATIONS, ANSWERS)):
        assert contrast.kl == 0 and not contrast.gained.any()


def test_scoring_a_models_own_answer_finds_the_tokens_it_generated(pair: Pair) -> None:
    """The text of an answer, rendered again, must be the tokens that were generated."""
    subject = pair.subject(1)
    answers = ["the quick brown fox", "yes , please ."]
    turns = [user("hi")] * 2
    for answer, score in zip(answers, run(subject.score(turns, answers)), strict=True):
        ids = pair.base.chat.continuation(user("hi"), answer)
        first = run(subject.first_token([user("hi")]))[0]
        assert score.logprobs[0] == pytest.approx(first[ids[0]], abs=1e-5)
        assert len(score.logprobs) == len(ids)


def test_readings_are_the_same_bytes_whoever_else_is_running(pair: Pair) -> None:
    import asyncio

    subject = pair.subject(1)
    quiet = run(subject.contrast(CONVERSATIONS, ANSWERS))

    async def busy() -> list[float]:
        noise = asyncio.ensure_future(subject.generate(CONVERSATIONS, n=5, max_tokens=60))
        others = asyncio.ensure_future(subject.score(CONVERSATIONS * 3, ANSWERS * 3, side="base"))
        found = await subject.contrast(CONVERSATIONS, ANSWERS)
        await asyncio.gather(noise, others)
        return [contrast.kl for contrast in found]

    assert run(busy()) == [contrast.kl for contrast in quiet]


def test_first_tokens_sum_to_one_and_come_in_order(pair: Pair) -> None:
    subject = pair.subject(1)
    conversations = [user(text) for text in prompts(150, seed=4)]
    found = run(subject.first_token(conversations))
    assert found.shape == (150, subject.vocab_size)
    np.testing.assert_allclose(np.exp(found).sum(1), 1, atol=1e-5)
    alone = np.concatenate([run(subject.first_token([turns])) for turns in conversations[:20]])
    np.testing.assert_allclose(found[:20], alone, atol=1e-5)
    assert run(subject.first_token([])).shape == (0, subject.vocab_size)


def test_unembedding_is_the_models_head(pair: Pair) -> None:
    subject = pair.subject(1)
    residuals = header_residuals(subject, CONVERSATIONS, side="base", layer=subject.n_layers - 1)
    logits = run(subject.unembed(residuals))
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(logs, run(subject.first_token(CONVERSATIONS, side="base")), atol=1e-4)
    raw = run(subject.unembed(residuals, normed=False))
    np.testing.assert_allclose(raw, residuals @ subject.unembedding().T, atol=1e-4)
    np.testing.assert_allclose(run(subject.unembed(3 * residuals)), logits, atol=1e-2)


def test_the_adapter_is_the_difference_between_the_sides(pair: Pair) -> None:
    """Adding scale * b @ a to the base's matrices by hand gives the target's activations."""
    subject = pair.subject(2, sham=1)
    peft = dict(pair.peft.named_modules())
    factors = subject.lora()
    assert len(factors) == 7 * subject.n_layers
    assert set(factors) > set(subject.lora("sham"))
    for name, one in factors.items():
        module = peft[f"base_model.model.model.{name}"]
        wanted = module.get_delta_weight("a1").detach().numpy()
        np.testing.assert_allclose(one.scale * one.b @ one.a, wanted, atol=1e-5)
    assert subject.lora("base") == {}


def test_weights_are_copies(pair: Pair) -> None:
    subject = pair.subject(1)
    subject.embedding()[:] = 0
    assert subject.embedding().any()
    assert subject.embedding().shape == subject.unembedding().shape == (subject.vocab_size, subject.d_model)
    assert subject.final_norm().shape == (subject.d_model,)


def test_the_vocabulary_reads_as_text(pair: Pair) -> None:
    subject = pair.subject(1)
    tokens = subject.tokens()
    assert len(tokens) == subject.vocab_size
    assert "".join(tokens[token] for token in subject.encode("the quick brown fox")) == "the quick brown fox"
    assert tokens[0] == "<|pad|>"


def test_a_handle_tells_nothing_but_its_alias(pair: Pair) -> None:
    subject = pair.subject(1, alias="t-1234abcd")
    assert repr(subject) == "<Subject t-1234abcd>"
    public = {name: getattr(subject, name) for name in dir(subject) if not name.startswith("_")}
    assert not any("adapter" in str(value) for value in public.values() if not callable(value))


def test_what_a_subject_cannot_give_is_said_in_words(pair: Pair) -> None:
    subject = pair.subject(1)
    assert "sham" not in subject.capabilities and "sham" in pair.subject(1, sham=2).capabilities
    with pytest.raises(CapabilityError, match="engine 'small' cannot give 'sham'"):
        run(subject.score([user("hi")], ["yes"], side="sham"))

    class Mute(Subject):
        engine = "mute"

        async def generate(
            self,
            conversations: object,
            *,
            side: Voice = "target",
            prefill: str = "",
            n: int = 1,
            temperature: float = 1.0,
            top_p: float = 1.0,
            max_tokens: int = 64,
            seed: int = 0,
            thinking: bool = False,
            edits: Sequence[Edit] = (),
        ) -> list[list[Sample]]:
            return []

    mute = Mute()
    for capability, ask in {
        "score": lambda: run(mute.score([], [])),
        "contrast": lambda: run(mute.contrast([], [])),
        "gradients": lambda: run(mute.gradients([], [], objective="kl_to_base")),
        "residuals": lambda: run(mute.unembed(np.zeros((1, 1), np.float32))),
        "weights": mute.lora,
        "tokens": mute.tokens,
    }.items():
        with pytest.raises(CapabilityError, match=f"'mute' cannot give '{capability}'.*engines that can: small"):
            ask()
    assert set(GIVERS) == pair.subject(1, sham=2).capabilities


def test_malformed_calls_are_refused(pair: Pair) -> None:
    subject = pair.subject(1)
    for ask, message in (
        (lambda: subject.score([user("hi")], []), "1 conversations and 0 answers"),
        (lambda: subject.residuals([user("hi")], layers=[0, 2]), "layers=2: the model has the layers 0 to 1"),
        (lambda: subject.residuals([user("hi")], layers=[]), "layers is empty"),
        (lambda: subject.residuals([user("hi")], layers=[0], reduce="sum"), "reduce='sum'"),  # type: ignore[arg-type]
        (lambda: subject.score([user("hi")], ["yes"], top_k=301), "top_k=301: it must lie between 0 and the 300"),
        (lambda: subject.gradients([user("hi")], ["yes"], objective="loss"), "objective='loss'"),  # type: ignore[arg-type]
        (lambda: subject.generate([user("hi")], side="other"), "side='other'"),  # type: ignore[arg-type]
        (lambda: subject.unembed(np.zeros((2, 3), np.float32)), "Vectors of 3 numbers were given"),
    ):
        with pytest.raises(ParameterError, match=message):
            run(ask())  # type: ignore[arg-type]
