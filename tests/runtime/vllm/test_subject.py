"""What a vLLM server is asked, and what is made of its answers."""

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zstandard

from audit_env.catalog.files import Catalog
from audit_env.errors import CapabilityError, ParameterError
from audit_env.runtime.edits import Ablate, Add, At, Replace
from audit_env.runtime.local import Casting
from audit_env.runtime.small.base import Base
from audit_env.runtime.small.subject import SmallSubject
from audit_env.runtime.spans import Placed
from audit_env.runtime.subject import GIVERS, SIDES, ContextOverflow, Dose
from audit_env.runtime.vllm.base import VllmBase
from audit_env.runtime.vllm.lens import edit_fields
from audit_env.runtime.vllm.options import Options
from audit_env.runtime.vllm.server import opaque
from audit_env.runtime.vllm.subject import VllmSubject

from ..conftest import Pair, run, user
from . import fake
from .conftest import Played

TURNS = [user("what is a good soup ?"), user("tell me more", "yes", "please")]
BOS = 1


@pytest.fixture
def small(pair: Pair) -> SmallSubject:
    """The same organism on the engine small."""
    return pair.subject(1, 2)


def direction(seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=64).astype(np.float32)


def test_the_prompt_is_sent_as_the_ids_that_small_reads_with_one_bos(played: Played, small: SmallSubject) -> None:
    found = run(played.subject.generate(TURNS, prefill="soup is", thinking=True))
    expected = run(small.generate(TURNS, prefill="soup is", thinking=True))
    assert [row[0].prompt_tokens for row in found] == [row[0].prompt_tokens for row in expected]
    asked = {tuple(body["prompt"]) for body in played.fake.asked}
    assert asked == {small._base.chat.prompt([*turns], prefill="soup is", thinking=True).ids for turns in TURNS}
    assert all(ids.count(BOS) == 1 and ids[0] == BOS for ids in asked)


def test_a_request_states_all_that_decides_an_answer(played: Played) -> None:
    run(played.subject.generate(TURNS[:1], n=2, temperature=0.7, top_p=0.9, max_tokens=20, seed=5))
    first, second = played.fake.asked
    assert (first["temperature"], first["top_p"], first["max_tokens"]) == (0.7, 0.9, 20)
    assert (first["stop_token_ids"], first["ignore_eos"], first["top_k"]) == ([fake.END], True, 0)
    assert first["seed"] != second["seed"] and 0 <= first["seed"] < 2**63
    assert "n" not in first and "cache_salt" not in first and "vllm_xargs" not in first


def test_texts_and_user_turns_are_sent_as_small_reads_them(played: Played, small: SmallSubject) -> None:
    texts = ["good soup is", "<|user|> what is"]
    [first, second], [third, fourth] = (
        [row[0] for row in run(call)]
        for call in (
            played.subject.complete(texts, temperature=0, max_tokens=9),
            played.subject.user_turns(TURNS, temperature=0, max_tokens=9),
        )
    )
    chat = small._base.chat
    expected = [*map(chat.raw, texts), *(chat.opening([*turns], "user") for turns in TURNS)]
    # Sorted: requests of one call are under way together, each on a connection of its own, and come as they come.
    assert sorted(tuple(body["prompt"]) for body in played.fake.asked) == sorted(prompt.ids for prompt in expected)
    for prompt, sample in zip(expected, (first, second, third, fourth), strict=True):
        assert prompt.ids.count(BOS) == 1
        assert sample.text == chat.read(sample.ids, prompt) and sample.prompt_tokens == len(prompt.ids)
    assert played.subject.rendered(TURNS[1], "no .") == small.rendered(TURNS[1], "no .")


def test_seeds_follow_from_seed_prompt_and_number_alone(played: Played) -> None:
    def seeds(conversations: Any, **options: Any) -> set[tuple[tuple[int, ...], int]]:
        played.fake.asked.clear()
        run(played.subject.generate(conversations, **options))
        return {(tuple(body["prompt"]), body["seed"]) for body in played.fake.asked}

    first = seeds(TURNS, n=2, seed=3)
    assert len({seed for _, seed in first}) == 4
    assert all(seeds(TURNS, n=2, seed=3, side=side) == first for side in SIDES)
    assert seeds([TURNS[1], TURNS[1]], seed=3) < first  # twice in one call is as n=2
    assert seeds(TURNS, n=2, seed=4).isdisjoint(first)


def test_sides_are_models_with_names_that_tell_nothing(played: Played) -> None:
    for side in SIDES:
        run(played.subject.generate(TURNS[:1], side=side))
    names = [body["model"] for body in played.fake.asked]
    assert len(set(names)) == 3
    assert all(name.partition("-")[0] in ("base", "adapter") and len(name.partition("-")[2]) == 12 for name in names)


def test_an_answer_is_read_without_the_end_of_its_turn(played: Played, small: SmallSubject) -> None:
    [samples] = run(played.subject.generate(TURNS[:1], n=20, max_tokens=12))
    bodies = {body["seed"]: body for body in played.fake.asked}
    said = sorted(played.fake.answer(body) for body in bodies.values())
    assert sorted([*sample.ids, fake.END][:12] for sample in samples) == said
    assert {sample.stop for sample in samples} == {"stop", "length"}
    assert all(fake.END not in sample.ids for sample in samples)
    prompt = small._base.chat.prompt([*TURNS[0]])
    assert [sample.text for sample in samples] == [small._base.chat.read(sample.ids, prompt) for sample in samples]
    assert any(sample.text for sample in samples)


def test_controls_are_asked_once_and_targets_every_time(played: Played) -> None:
    for side, times in (("base", 1), ("sham", 1), ("target", 2)):
        before = len(played.fake.asked)
        first, second = (run(played.subject.generate(TURNS[:1], side=side, temperature=0)) for _ in range(2))  # type: ignore[arg-type]
        assert first == second and len(played.fake.asked) - before == times


def test_scores_are_those_of_the_answers_tokens(played: Played, small: SmallSubject) -> None:
    answers = ["a cold day", "no ."]
    found = run(played.subject.score(TURNS, answers, top_k=3))
    for body in played.fake.asked:
        assert (body["prompt_logprobs"], body["max_tokens"]) == (3, 1)
    for turns, answer, scores in zip(TURNS, answers, found, strict=True):
        said = small._base.chat.continuation([*turns], answer)
        np.testing.assert_allclose(scores.logprobs, [fake.LOGS[token] for token in said], rtol=1e-6)
        assert scores.top_ids.tolist() == [[299, 298, 297]] * len(said)
        np.testing.assert_allclose(scores.top_logprobs, [fake.LOGS[:-4:-1]] * len(said), rtol=1e-6)
        np.testing.assert_allclose(scores.tail + np.exp(scores.top_logprobs).sum(axis=1), 1, rtol=1e-6)
        assert np.isnan(scores.entropy).all() and not scores.exact


def test_scores_without_the_likeliest_leave_all_to_the_tail(played: Played) -> None:
    [scores, empty] = run(played.subject.score(TURNS, ["a cold day", ""]))
    assert scores.top_ids.shape == (len(scores.logprobs), 0) and (scores.tail == 1).all()
    assert empty.logprobs.shape == (0,) and empty.top_logprobs.shape == (0, 0)
    with pytest.raises(ParameterError, match="top_k=301: it must lie between 0 and the 300 tokens"):
        run(played.subject.score(TURNS[:1], ["a"], top_k=301))
    with pytest.raises(ParameterError, match="2 conversations and 1 answers"):
        run(played.subject.score(TURNS, ["a"]))


def test_the_first_token_has_a_whole_distribution(played: Played) -> None:
    logs = run(played.subject.first_token(TURNS, side="base"))
    assert logs.shape == (2, 300)
    np.testing.assert_allclose(logs, [fake.LOGS] * 2, rtol=1e-6)


def test_a_server_with_few_log_probabilities_says_what_to_do(played: Played) -> None:
    played.fake.faults += [400, 400]
    with pytest.raises(CapabilityError, match="fewer log-probabilities at a position than the 300.*--max-logprobs -1"):
        run(played.subject.first_token(TURNS[:1]))
    with pytest.raises(CapabilityError, match="than the 30 that are needed"):
        run(played.subject.score(TURNS[:1], ["a"], top_k=30))


def test_residuals_are_those_of_the_layers_and_positions_asked_for(played: Played, small: SmallSubject) -> None:
    found = run(played.subject.residuals(TURNS, ["a cold day", "no ."], layers=[1, -1, 0], at=At("answer", None)))
    said = [
        small._base.chat.continuation([*turns], text) for turns, text in zip(TURNS, ["a cold day", "no ."], strict=True)
    ]
    assert found.owner.tolist() == [0] * len(said[0]) + [1] * len(said[1])
    tokens = [token for answer in said for token in answer]
    assert found.vectors.shape == (len(tokens), 3, 64)
    # bfloat16 has eight bits
    np.testing.assert_allclose(found.vectors[:, 0, 0], [10 + token for token in tokens], rtol=2**-7)
    np.testing.assert_allclose(found.vectors[:, 2, 0], tokens, rtol=2**-7)
    np.testing.assert_array_equal(found.vectors[:, 1], small.embedding()[tokens])
    assert played.fake.asked[0]["vllm_xargs"]["output_residual_stream"] == "[0, 1]"
    [mean] = run(
        played.subject.residuals(TURNS, ["a cold day", "no ."], layers=[0], at=At("answer", None), reduce="mean")
    ).vectors
    np.testing.assert_allclose(mean[0, 0], found.vectors[:, 2, 0].mean(), rtol=1e-6)


def test_every_edited_request_has_a_salt_of_its_own(played: Played) -> None:
    edits = [Add(1, direction(), scale=3.0), Add(0, direction(1), unit="norm")]
    run(played.subject.generate(TURNS, n=2, edits=edits, side="base"))
    run(played.subject.generate(TURNS[:1], edits=edits, side="base"))
    run(played.subject.score(TURNS[:1], ["a"], edits=edits))
    run(played.subject.residuals(TURNS[:1], layers=[0], edits=edits))
    salts = [body["cache_salt"] for body in played.fake.asked]
    assert len(set(salts)) == len(salts) == 7 and min(map(len, salts)) >= 43
    assert all(body.get("n", 1) == 1 for body in played.fake.asked)  # vllm-lens misses the requests of n > 1
    run(played.subject.generate(TURNS[:1]))
    assert "cache_salt" not in played.fake.asked[-1]


def test_edits_are_sent_as_steering_vectors(played: Played) -> None:
    run(played.subject.generate(TURNS[:1], edits=[Add(1, direction(), scale=3.0), Add(0, direction(1), unit="norm")]))
    raw, norm = json.loads(played.fake.asked[0]["vllm_xargs"]["apply_steering_vectors"])
    assert (raw["layer_indices"], raw["scale"], raw["norm_match"], raw["position_indices"]) == ([1], 3.0, False, None)
    assert (norm["layer_indices"], norm["scale"], norm["norm_match"]) == ([0], 1.0, True)
    for sent, expected in ((raw, direction()), (norm, direction(1) / np.linalg.norm(direction(1)))):
        activations = sent["activations"]
        data = zstandard.ZstdDecompressor().decompress(base64.b64decode(activations["data"]))
        vector = np.frombuffer(data, activations["dtype"]).reshape(activations["shape"])
        np.testing.assert_allclose(vector, expected[None], rtol=1e-6)


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        ([Ablate(1, direction())], "not do 'Ablate'.*small, hf"),
        ([Replace(1, direction())], "not do 'Replace'"),
        ([Add(-1, direction())], "cannot edit the embedding"),
        ([Add(1, direction()), Add(1, direction(), unit="norm")], "unit='norm' before the others of its layer"),
        ([Add(1, direction(), At("header", -1))], "edits all positions at once"),
        ([Add(1, direction(), At("answer", None))], "edits all positions at once"),
    ],
)
def test_an_edit_that_vllm_lens_cannot_do_is_refused(played: Played, edits: Any, message: str) -> None:
    with pytest.raises(CapabilityError, match=message):
        run(played.subject.generate(TURNS[:1], edits=edits))
    assert not played.fake.asked


def test_a_norm_is_measured_before_the_edits_of_its_own_token_alone() -> None:
    edits = (Add(1, direction(), unit="norm"), Add(1, direction(1), unit="norm"))
    sent = edit_fields(Placed(edits, (range(2, 3), range(3, 4))), 6, whole=True)
    assert [one["position_indices"] for one in json.loads(sent["vllm_xargs"]["apply_steering_vectors"])] == [[2], [3]]
    with pytest.raises(CapabilityError, match="that hit the same tokens"):
        edit_fields(Placed(edits, (range(2, 4), range(3, 4))), 6, whole=True)


def test_without_vllm_lens_there_are_no_residuals_and_no_edits(play: Callable[..., Played]) -> None:
    subject = play(lens=False).subject
    assert not subject.capabilities & {"residuals", "edits", "contrast", "gradients", "doses"}
    with pytest.raises(CapabilityError, match=r"cannot give 'residuals'.*vllm \(on a server with vllm-lens\)"):
        run(subject.residuals(TURNS, layers=[0]))
    with pytest.raises(CapabilityError, match="cannot give 'edits'"):
        run(subject.generate(TURNS, edits=[Add(0, direction())]))


def test_what_the_engine_gives_is_what_givers_say(played: Played) -> None:
    said = {capability for capability, engines in GIVERS.items() if "vllm" in " ".join(engines)}
    assert said == played.subject.capabilities
    for capability, call in (
        ("contrast", played.subject.contrast(TURNS, ["a", "b"])),
        ("gradients", played.subject.gradients(TURNS, ["a", "b"], objective="answer_logprob")),
        ("doses", played.subject.generate(TURNS, side=Dose(scale=2))),
        ("amplify", played.subject.generate(TURNS, amplify=2.0)),
        ("attention", played.subject.attention(TURNS)),
    ):
        with pytest.raises(CapabilityError, match=f"cannot give '{capability}'"):
            run(call)  # type: ignore[arg-type]


def test_doses_that_are_a_side_are_that_side(played: Played) -> None:
    for dose, side in ((Dose(), "target"), (Dose("sham"), "sham"), (Dose("sham", scale=0), "base")):
        found = run(played.subject.generate(TURNS, side=dose, temperature=0))
        assert found == run(played.subject.generate(TURNS, side=side, temperature=0))  # type: ignore[arg-type]


def test_weights_are_read_from_the_folders(played: Played, small: SmallSubject) -> None:
    subject = played.subject
    np.testing.assert_array_equal(subject.embedding(), small.embedding())
    np.testing.assert_array_equal(subject.unembedding(), small.unembedding())
    np.testing.assert_array_equal(subject.final_norm(), small.final_norm())
    for side in SIDES:
        ours, theirs = subject.lora(side), small.lora(side)
        assert ours.keys() == theirs.keys()
        for module, factors in ours.items():
            np.testing.assert_array_equal(factors.a, theirs[module].a)
            np.testing.assert_array_equal(factors.b, theirs[module].b)
            assert factors.scale == theirs[module].scale
    vectors = np.stack([direction(seed) for seed in range(3)])
    for normed in (True, False):
        expected = run(small.unembed(vectors, normed=normed))
        np.testing.assert_allclose(run(subject.unembed(vectors, normed=normed)), expected, atol=1e-5)
    assert subject.tokens() == small.tokens() and subject.encode("good soup") == small.encode("good soup")


def test_what_lies_beside_the_base_is_read_as_on_small() -> None:
    folder = Catalog().folder("fruitfly/base")
    with fake.Fake(opaque("base", folder)) as server:
        base, small = VllmBase(folder, options=Options(url=server.url)), Base(folder)
        subject = VllmSubject("t-00000000", base, {"target": Casting(), "base": Casting()})
        [ours], [theirs] = subject.dictionaries(), small.dictionaries
        assert ours.layer == theirs.layer
        np.testing.assert_array_equal(ours.encoder, theirs.encoder)
        lens = subject.tuned_lens()
        assert lens is not None and small.tuned_lens is not None
        vector = np.ones(subject.d_model, np.float32)
        np.testing.assert_array_equal(lens.carried(0, vector), small.tuned_lens.carried(0, vector))
        base.engine.close()
        small.engine.close()


def test_a_conversation_without_room_is_refused_before_it_is_sent(play: Callable[..., Played]) -> None:
    played = play(context=30)
    assert played.subject.context_length == 30
    for call in (
        played.subject.generate([user("soup " * 40)]),
        played.subject.score(TURNS[:1], ["soup " * 40]),
        played.subject.first_token([user("soup " * 40)]),
    ):
        with pytest.raises(ContextOverflow, match="at most (30|29)"):
            run(call)  # type: ignore[arg-type]
    run(played.subject.generate(TURNS[:1], max_tokens=200))
    assert [len(body["prompt"]) + body["max_tokens"] for body in played.fake.asked] == [30]


def test_the_handle_tells_no_path_and_no_name(played: Played) -> None:
    assert repr(played.subject) == "<Subject t-00000000>"
    with pytest.raises(ParameterError, match="the sides are"):
        run(played.subject.generate(TURNS, side="other"))  # type: ignore[arg-type]
