"""Our forward pass against transformers and peft, the specification of what a Llama with LoRA computes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from audit_env.runtime.small.model import Causal, Padded, runs

from .conftest import Pair, Sequences, header_residuals, make_folders, make_pair, padded, run, user

CLOSE = 1e-4
LENGTHS = (5, 17, 1, 30, 9, 23)


def sequences(lengths: tuple[int, ...] = LENGTHS) -> Sequences:
    generator = torch.Generator().manual_seed(1)
    return [[1, *torch.randint(3, 300, (length,), generator=generator).tolist()] for length in lengths]


def reference(pair: Pair, given: Sequences, names: list[str]) -> list[torch.Tensor]:
    """Logits of peft, `[t, vocab]` for each sequence."""
    ids, mask = padded(given)
    with torch.no_grad():
        logits = pair.peft(input_ids=ids, attention_mask=mask, adapter_names=names).logits
    return [row[: len(sequence)] for row, sequence in zip(logits, given, strict=True)]


def furthest(ours: torch.Tensor, theirs: list[torch.Tensor]) -> float:
    return max(float((row[: len(want)] - want).abs().max()) for row, want in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("side", range(4))
def test_each_adapter_and_the_base_equal_peft(pair: Pair, side: int) -> None:
    given = sequences()
    model = pair.base.model
    with torch.inference_mode():
        ours = model.logits(model.sequences(Padded.of(given), pair.adapters[side]))
    assert furthest(ours, reference(pair, given, [pair.names[side]] * len(given))) < CLOSE


def test_a_batch_of_mixed_adapters_equals_peft(pair: Pair) -> None:
    given, sides = sequences(), [1, 1, 0, 3, 2, 0]
    batch = Padded.of(given)
    b, t = batch.ids.shape
    model = pair.base.model
    with torch.inference_mode():
        x = model.blocks(
            batch.ids.flatten(),
            torch.arange(t).repeat(b),
            Causal(model.shape, b, t),
            runs([pair.adapters[side] for side in sides], t),
        )
        ours = model.logits(x.view(b, t, -1))
    mixed = reference(pair, given, [pair.names[side] for side in sides])
    assert furthest(ours, mixed) < CLOSE
    # The adapters are far enough from each other for the comparison to mean something.
    assert furthest(ours, reference(pair, given, ["__base__"] * len(given))) > 100 * CLOSE


def test_the_wanted_tokens_of_a_batch_of_mixed_adapters_equal_peft(pair: Pair) -> None:
    given, sides = sequences(), [1, 1, 0, 3, 2, 0]
    batch = Padded.of(given)
    b, t = batch.ids.shape
    model = pair.base.model
    with torch.inference_mode():
        x = model.blocks(
            batch.ids.flatten(),
            torch.arange(t).repeat(b),
            Causal(model.shape, b, t),
            runs([pair.adapters[side] for side in sides], t),
            wanted=torch.tensor([row * t + length - 1 for row, length in enumerate(batch.lengths) if row != 3]),
        )
        ours = model.logits(x)
    mixed = reference(pair, given, [pair.names[side] for side in sides])
    del mixed[3]
    assert furthest(ours[:, None], [logits[-1:] for logits in mixed]) < CLOSE


@pytest.mark.parametrize(
    "options",
    [{"tied": True}, {"kv_heads": 4}, {"kv_heads": 1}, {"dtype": torch.float16}],
    ids=["tied", "all heads", "one key head", "fp16 on disk"],
)
def test_other_models_equal_transformers(tmp_path: Path, options: dict[str, Any]) -> None:
    pair = make_pair(make_folders(tmp_path, **options))
    given = sequences((12, 20))
    try:
        with torch.inference_mode():
            ours = pair.base.model.logits(pair.base.model.sequences(Padded.of(given), pair.adapters[1]))
        assert pair.base.model.weights.embedding.dtype == torch.float32
        assert furthest(ours, reference(pair, given, ["a0", "a0"])) < CLOSE
    finally:
        pair.base.engine.close()


@pytest.mark.parametrize("side", range(4))
def test_greedy_generation_equals_transformers(pair: Pair, side: int) -> None:
    conversations = [user(text) for text in ("hi", "what is a good soup for a cold day ?", "the fox . the dog .")]
    ours = run(pair.subject(side).generate(conversations, temperature=0, max_tokens=40))
    for conversation, [sample] in zip(conversations, ours, strict=True):
        ids = torch.tensor([pair.base.chat.prompt(conversation).ids])
        with torch.no_grad():
            theirs = pair.peft.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                adapter_names=[pair.names[side]],
                do_sample=False,
                max_new_tokens=40,
            )[0, ids.shape[1] :].tolist()
        assert list(sample.ids) == [token for token in theirs if token != 2]
        assert sample.stop == ("stop" if 2 in theirs else "length")


@pytest.mark.parametrize("layer", [-1, 0, 1])
def test_header_residuals_are_the_output_of_the_block_before_the_final_norm(pair: Pair, layer: int) -> None:
    conversations = [user("hi"), user("what is a good soup for a cold day ?")]
    ours = header_residuals(pair.subject(2), conversations, layer=layer)
    inner = pair.peft.base_model.model.model
    seen: list[torch.Tensor] = []
    module = inner.embed_tokens if layer == -1 else inner.layers[layer]
    hook = module.register_forward_hook(lambda _, __, out: seen.append(out[0] if isinstance(out, tuple) else out))
    for conversation in conversations:
        ids = torch.tensor([pair.base.chat.prompt(conversation).ids])
        with torch.no_grad():
            pair.peft(input_ids=ids, adapter_names=["a1"])
    hook.remove()
    theirs = np.stack([x[0, -1].numpy() for x in seen])
    np.testing.assert_allclose(ours, theirs, atol=CLOSE)


def test_first_token_equals_the_last_logits_of_the_prompt(pair: Pair) -> None:
    conversations = [user("hi"), user("what is a good soup for a cold day ?")]
    ours = run(pair.subject(1).first_token(conversations))
    given = [list(pair.base.chat.prompt(conversation).ids) for conversation in conversations]
    theirs = [logits[-1].log_softmax(-1).numpy() for logits in reference(pair, given, ["a0", "a0"])]
    np.testing.assert_allclose(ours, np.stack(theirs), atol=CLOSE)
