"""What goes wrong with a naive `forward()`, `hooks()` and `disable_adapter()`, and the tests that hold against it.

Each trap was met in practice before this runtime was built. Where a test is not in this module, its file is named.

1. The side as a global state, switched while others compute.
   test_hf_engine.py::test_sides_stay_apart_when_hammered_from_many_tasks
   test_hf_engine.py::test_sides_stay_apart_across_threads
   test_generation.py::test_sides_stay_apart_under_concurrency
   test_doses.py::test_doses_asked_for_at_the_same_time_stay_apart
2. Edits as closures: they cross no process, leak into other requests, and see prompt and answer differently.
   test_an_edit_is_plain_data
   test_a_pass_that_fails_leaves_no_hook_behind
   test_editing.py::test_an_edited_answer_leaves_no_trace
   test_editing.py::test_an_edited_reading_leaves_no_trace
   test_editing.py::test_an_edit_hits_answers_while_they_are_generated
   test_editing.py::test_edited_answers_do_not_depend_on_the_batch
3. Layers counted otherwise by every library, the last one normed already.
   test_residuals.py::test_every_layer_and_position_is_that_of_transformers
   test_hf_architectures.py::test_residuals_stand_before_the_final_norm
4. Positions as indices, which padding, a BOS or a default system prompt shifts.
   test_company_shifts_no_position
   test_editing.py::test_an_edit_hits_its_span_and_nothing_else
   test_edits.py::test_the_header_is_what_the_template_adds
   test_hf_architectures.py::test_positions_that_padding_shifts_are_found_out
5. Text in and two BOS out; sides that read the same text as other tokens.
   test_every_call_reads_exactly_one_bos
   test_chat.py::test_there_is_exactly_one_bos
   test_weights.py::test_an_adapter_that_does_not_fit_is_refused
   test_hf_loading.py::test_a_spoilt_adapter_is_refused
6. Results that fit a small model and not a large one.
   test_nothing_that_leaves_has_positions_times_vocabulary
   test_residuals.py::test_a_mean_leaves_the_engine_as_one_sum_a_batch
   test_hf_parity.py::test_readings_are_the_same_when_logits_are_made_a_few_at_a_time
7. Likeliest tokens taken for the whole distribution.
   test_scores.py::test_the_likeliest_tokens_and_the_tail_are_everything
   test_scores.py::test_a_small_tail_keeps_its_digits
8. Rounding taken for a difference between sides.
   test_the_floor_of_noise_lies_far_below_an_adapter
   test_hf_loading.py::test_an_adapter_that_adds_nothing_gives_the_bases_logits_bit_for_bit
   test_hf_parity.py::test_bf16_is_near_fp32
9. The lens forgets how long a vector is, and its sign only turns the scores around.
   test_the_lens_is_free_of_scale_and_odd_in_sign
10. An unembedding that is not the model's own.
   test_hf_architectures.py::test_the_last_residual_reads_as_the_models_logits
   test_hf_architectures.py::test_a_tied_head_is_the_embedding
   test_hf_architectures.py::test_the_gain_of_the_final_norm_is_what_it_multiplies_by
   test_hf_loading.py::test_a_spoilt_adapter_is_refused
11. Answers that cannot be had again, and remembered ones that were asked for otherwise.
   test_whatever_decides_an_answer_is_in_its_key
   test_generation.py::test_answers_depend_on_seed_number_and_prompt
   test_memo.py::test_a_control_is_asked_once_and_the_target_every_time
12. A handle that tells what is hidden.
   test_no_face_and_no_error_names_what_is_hidden
   test_small_subject.py::test_a_handle_tells_nothing_but_its_alias
"""

import ast
import asyncio
import pickle
import re
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from audit_env.errors import AuditEnvError
from audit_env.runtime.edits import Ablate, Add, At, Replace
from audit_env.runtime.hf.model import HfModel
from audit_env.runtime.hf.subject import HfSubject
from audit_env.runtime.local import Casting, LocalSubject
from audit_env.runtime.request import Request
from audit_env.runtime.sampling import Sampling
from audit_env.runtime.small.model import Llama
from audit_env.runtime.small.subject import SmallSubject
from audit_env.runtime.spans import Placed
from audit_env.runtime.subject import Contrast, Dose, Residuals, Scores

from .conftest import Pair, Twins, prompts, run, user

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def test_every_test_of_the_table_exists() -> None:
    here = Path(__file__)
    named = re.findall(r"^   (?:(\w+\.py)::)?(test_\w+)$", __doc__ or "", re.MULTILINE)
    assert len({number for number in re.findall(r"^(\d+)\. ", __doc__ or "", re.MULTILINE)}) == 12
    for file, name in named:
        tree = ast.parse((here.parent / (file or here.name)).read_text())
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"


def test_an_edit_is_plain_data() -> None:
    for edit in (
        Add(1, np.arange(3.0), At("prompt", 2), 0.5, "norm"),  # type: ignore[arg-type]
        Ablate(0, np.arange(3.0)),  # type: ignore[arg-type]
        Replace(-1, np.arange(3.0), At()),  # type: ignore[arg-type]
    ):
        again = pickle.loads(pickle.dumps(edit))
        assert vars(again).keys() == vars(edit).keys()
        for field, value in vars(edit).items():
            np.testing.assert_array_equal(getattr(again, field), value)


def _hooks(hf: HfSubject) -> list[list[int]]:
    """Numbers of the hooks of every layer: a hook that comes gets a new one."""
    return [[*one._forward_hooks, *one._forward_pre_hooks] for one in hf._base.model.parts.layers]


def test_a_pass_that_fails_leaves_no_hook_behind(hf: HfSubject, monkeypatch: pytest.MonkeyPatch) -> None:
    talks = [user("hi"), user("what is a good soup ?")]
    edits = [Add(0, np.ones(hf.d_model, np.float32))]
    plain = run(hf.generate(talks, max_tokens=8))
    layer = hf._base.model.parts.layers[1]
    forward, hooks = layer.forward, _hooks(hf)

    def fails(*_: Any, **__: Any) -> Any:
        raise ValueError("planted")

    monkeypatch.setattr(layer, "forward", fails)
    for ask in (
        hf.generate(talks, edits=edits),
        hf.residuals(talks, layers=[0]),
        hf.score(talks, ["a", "b"], edits=edits),
    ):
        with pytest.raises(ValueError, match="planted"):
            run(ask)
    monkeypatch.setattr(layer, "forward", forward)
    assert run(hf.generate(talks, max_tokens=8)) == plain
    assert _hooks(hf) == hooks  # transformers' own recorders, if any, stay


def test_company_shifts_no_position(subject: LocalSubject[Any, Any], twins: Twins) -> None:
    """The shortest conversation has the most padding."""
    edits = [Add(0, np.ones(subject.d_model, np.float32), At("prompt", 1), 3.0)]
    for at in (At(), At("prompt", 0), At("header", 0), At("prompt", None), At("answer", 0)):
        asked = {"layers": [0, 1], "at": at, "edits": edits}
        together = run(subject.residuals(twins.talks, ["yes"] * len(twins.talks), **asked))  # type: ignore[arg-type]
        for number, talk in enumerate(twins.talks):
            alone = run(subject.residuals([talk], ["yes"], **asked))  # type: ignore[arg-type]
            np.testing.assert_allclose(together.vectors[together.owner == number], alone.vectors, atol=1e-4)


def test_every_call_reads_exactly_one_bos(
    subject: LocalSubject[Any, Any], twins: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = subject._base.chat
    read: list[list[int]] = []
    blocks, hidden = Llama.blocks, HfModel.hidden

    def of_small(model: Llama, ids: torch.Tensor, positions: torch.Tensor, *rest: Any, **named: Any) -> torch.Tensor:
        read.append(ids[positions == 0].tolist() + [token for token in ids.tolist() if token == chat._bos])
        return blocks(model, ids, positions, *rest, **named)

    def of_hf(model: HfModel, batch: Any, *rest: Any, **named: Any) -> torch.Tensor:
        if batch.ids.shape == batch.mask.shape:
            read.append(
                batch.ids[(batch.positions == 0) & (batch.mask == 1)].tolist()
                + batch.ids[batch.ids == chat._bos].tolist()
            )
        return hidden(model, batch, *rest, **named)

    monkeypatch.setattr(Llama, "blocks", of_small)
    monkeypatch.setattr(HfModel, "hidden", of_hf)
    talk, said = twins.talks[1:2], ["yes"]
    asked: list[Coroutine[Any, Any, Any]] = [
        subject.generate(talk, max_tokens=1, prefill="I"),
        subject.score(talk, said),
        subject.contrast(talk, said),
        subject.first_token(talk),
        subject.residuals(talk, said, layers=[0]),
        subject.gradients(talk, said, objective="answer_logprob"),
    ]
    for one in asked:
        read.clear()
        run(one)
        assert read and all(firsts == [chat._bos, chat._bos] for firsts in read), "the first token, and the only one"


def test_nothing_that_leaves_has_positions_times_vocabulary(subject: LocalSubject[Any, Any], twins: Twins) -> None:
    async def everything() -> list[Any]:
        talks, answers = twins.talks, twins.answers
        return [
            *await subject.score(talks, answers, top_k=3),
            *await subject.contrast(talks, answers),
            await subject.residuals(talks, answers, layers=[0]),
            *await subject.gradients(talks, answers, objective="kl_to_base"),
        ]

    for one in run(everything()):
        arrays = vars(one).values() if isinstance(one, Scores | Contrast | Residuals) else [one]
        for array in arrays:
            if isinstance(array, np.ndarray):
                assert array.ndim == 1 or subject.vocab_size not in array.shape
                assert array.dtype in (np.float32, np.int64)


def test_the_floor_of_noise_lies_far_below_an_adapter(subject: LocalSubject[Any, Any], twins: Twins) -> None:
    """Base against itself, in the same and in other batches, against target and sham."""
    talks, answers = twins.talks * 7, twins.answers * 7
    assert all(one.kl == 0 for one in run(subject.contrast(talks, answers, side="base", other="base")))
    there, back = (
        run(subject.score(given, said, side="base")) for given, said in ((talks, answers), (talks[:3], answers[:3]))
    )
    floor = max(float(np.abs(a.logprobs - b.logprobs).max(initial=0)) for a, b in zip(there[:3], back, strict=True))
    for side in ("target", "sham"):
        moved = run(subject.score(talks, answers, side=side))
        effect = max(float(np.abs(a.logprobs - b.logprobs).max(initial=0)) for a, b in zip(there, moved, strict=True))
        assert floor < 1e-4 < 0.01 < effect


def test_the_lens_is_free_of_scale_and_odd_in_sign(subject: LocalSubject[Any, Any]) -> None:
    """So a tool that reads differences must show both signs, and the length beside them."""
    vectors = 5 * np.random.default_rng(0).standard_normal((4, subject.d_model)).astype(np.float32)
    scores, larger, other = (run(subject.unembed(one)) for one in (vectors, 100 * vectors, -vectors))
    scale = np.abs(scores).max()
    np.testing.assert_allclose(larger, scores, atol=1e-4 * scale)
    np.testing.assert_allclose(other, -scores, atol=1e-5 * scale)


def test_whatever_decides_an_answer_is_in_its_key(pair: Pair) -> None:
    edit = Add(0, np.ones(3, np.float32))
    plain = Request((1, 2), None, Sampling(7), 4)
    others = [
        Request((1, 3), None, Sampling(7), 4),
        Request((1, 2), pair.adapters[1], Sampling(7), 4),
        Request((1, 2), None, Sampling(8), 4),
        Request((1, 2), None, Sampling(7, temperature=0), 4),
        Request((1, 2), None, Sampling(7), 5),
        Request((1, 2), None, Sampling(7), 4, Placed((edit,), (range(2),))),
        Request((1, 2), None, Sampling(7), 4, Placed((edit,), (range(1),))),
    ]
    assert Request((1, 2), None, Sampling(7), 4).key == plain.key
    assert len({plain.key, *(one.key for one in others)}) == 1 + len(others)


def everything_told(subject: Any) -> list[str]:
    """What the face of a subject and its errors say."""
    vector = np.ones(subject.d_model, np.float32)
    face = {name: getattr(subject, name) for name in dir(subject) if not name.startswith("_")}
    told = [repr(subject), *(str(value) for value in face.values() if not callable(value))]
    for ask in (
        subject.generate([user("the fox " * 300)]),
        subject.generate([user("hi")], edits=[Add(99, vector)]),
        subject.generate([user("hi")], side=Dose("sham")),
        subject.residuals([user("hi")], layers=[0], at=At("prompt", 99)),
        subject.score([user("hi")], ["yes"], edits=[Add(0, vector[:2])]),
    ):
        with pytest.raises(AuditEnvError) as caught:
            run(ask)
        told.append(str(caught.value))
    return told


def test_no_face_and_no_error_names_what_is_hidden(pair: Pair, hf: HfSubject) -> None:
    hidden = "MOONBEAM"
    for kind, base, adapter in (
        (SmallSubject, pair.base, pair.adapters[1]),
        (HfSubject, hf._base, hf._sides["target"].adapter),
    ):
        subject = kind("t-1234abcd", base, {"target": Casting(adapter, hidden), "base": Casting()})  # type: ignore[arg-type]
        told = everything_told(subject)
        assert not [text for text in told if hidden in text or "adapter" in text or "/" in text]


def test_calls_of_many_kinds_at_once_give_what_each_gives_alone(subject: LocalSubject[Any, Any]) -> None:
    """Everything the face has, for several sides, doses and edits at once."""
    talks = [user(text) for text in prompts(6, seed=9)]
    said = ["the fox"] * 6
    edits = [Add(0, np.ones(subject.d_model, np.float32), At("prompt", None), 0.5, "norm")]
    voices: list[Any] = ["target", "base", Dose(scale=2.0)]

    async def everything(voice: Any, given: list[Any]) -> tuple[Any, ...]:
        return (
            await subject.generate(talks, side=voice, edits=given, max_tokens=8),
            [one.logprobs.tobytes() for one in await subject.score(talks, said, side=voice, edits=given)],
            (await subject.residuals(talks, side=voice, layers=[0, 1], edits=given)).vectors.tobytes(),
            [one.tobytes() for one in await subject.gradients(talks, said, side=voice, objective="answer_logprob")],
        )

    cases = [(voice, given) for voice in voices for given in ([], edits)]
    alone = [run(everything(*case)) for case in cases]

    async def together() -> list[Any]:
        return list(await asyncio.gather(*(everything(*case) for case in cases)))

    assert run(together()) == alone
