"""Sequences that begin alike: the readings of whole sequences, from fewer tokens."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from audit_env.runtime.small.adapter import Adapter
from audit_env.runtime.small.base import Base
from audit_env.runtime.small.model import Llama, Padded
from audit_env.runtime.small.sweep import Sweep, common

from .conftest import Pair, make_folders, prompts, run, user

CLOSE = 1e-4
PREFIX = (1, *range(20, 45))
WANTED = (1, 0, 1, 7, 3, 12, 2, 1)


def going_on(lengths: Sequence[int], prefix: tuple[int, ...] = PREFIX) -> list[tuple[int, ...]]:
    """Sequences of one prefix with random ends."""
    generator = torch.Generator().manual_seed(3)
    return [(*prefix, *torch.randint(50, 300, (length,), generator=generator).tolist()) for length in lengths]


def ends(sequences: Sequence[tuple[int, ...]], wanted: Sequence[int]) -> list[range]:
    """The last positions of sequences."""
    return [range(len(one) - count, len(one)) for one, count in zip(sequences, wanted, strict=True)]


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Tokens of every pass through the blocks."""
    tokens: list[int] = []
    blocks = Llama.blocks

    def counted(self: Llama, ids: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        tokens.append(len(ids))
        return blocks(self, ids, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Llama, "blocks", counted)
    yield tokens


def check(
    model: Llama,
    adapter: Adapter | None,
    sequences: Sequence[tuple[int, ...]],
    wanted: Sequence[int],
    through: int | None,
) -> None:
    """Compare a sweep, in two batches, with each sequence run whole and alone."""
    rows = list(range(len(sequences)))
    with torch.inference_mode():
        sweep = Sweep(sequences, adapter, ends(sequences, wanted), through=through)
        for batch in (rows[::2], rows[1::2]):
            for row, found in zip(batch, sweep.residuals(model, batch), strict=True):
                [alone] = model.sequences(Padded.of([sequences[row]]), adapter, through=through)
                assert torch.allclose(found, alone[len(alone) - wanted[row] :], atol=CLOSE)


@pytest.mark.parametrize("through", [None, 0, -1])
@pytest.mark.parametrize("side", range(4))
def test_readings_are_those_of_whole_sequences(pair: Pair, side: int, through: int | None) -> None:
    check(pair.base.model, pair.adapters[side], going_on((1, 5, 2, 4, 17, 9, 3, 1)), WANTED, through)


@pytest.mark.parametrize("kv_heads", [1, 4])
def test_readings_are_those_of_whole_sequences_however_many_heads(tmp_path: Path, kv_heads: int) -> None:
    base = Base(make_folders(tmp_path, kv_heads=kv_heads).base)
    check(base.model, None, going_on((1, 5, 2, 4, 17, 9, 3, 1)), WANTED, None)
    base.engine.close()


@pytest.mark.parametrize("lengths", [(0,) * 8, (0, 1, 2, 3, 4, 5, 6, 7)], ids=["all the same", "one begins the others"])
def test_at_least_what_is_read_is_left_of_every_sequence(pair: Pair, lengths: tuple[int, ...]) -> None:
    check(pair.base.model, pair.adapters[1], going_on(lengths), WANTED, None)


def test_what_sequences_begin_with_is_computed_once(pair: Pair, computed: list[int]) -> None:
    sequences = going_on([3] * 40)
    sweep = Sweep(sequences, None, ends(sequences, [1] * 40))
    with torch.inference_mode():
        for batch in (range(20), range(20, 40)):
            sweep.residuals(pair.base.model, batch)
    assert computed == [len(PREFIX), 20 * 3, 20 * 3]


def test_a_few_tokens_are_not_worth_a_pass_of_their_own(pair: Pair, computed: list[int]) -> None:
    sequences = going_on([3] * 4, prefix=PREFIX[:5])
    with torch.inference_mode():
        Sweep(sequences, None, ends(sequences, [1] * 4)).residuals(pair.base.model, range(4))
    assert computed == [4 * 8]


def test_the_last_block_runs_for_the_tokens_that_are_read(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: dict[tuple[int, str], int] = {}
    linear = Llama._linear

    def seen(self: Llama, x: torch.Tensor, layer: int, site: str, sides: object) -> torch.Tensor:
        rows[layer, site] = len(x)
        return linear(self, x, layer, site, sides)  # type: ignore[arg-type]

    monkeypatch.setattr(Llama, "_linear", seen)
    with torch.inference_mode():
        sequences = going_on([9, 5], prefix=(1,))
        Sweep(sequences, pair.adapters[2], ends(sequences, [2, 1])).residuals(pair.base.model, [0, 1])
    assert rows[1, "qkv"] == rows[0, "down"] == 20
    assert rows[1, "o"] == rows[1, "down"] == 3


@pytest.mark.parametrize(
    ("sequences", "length"),
    [([], 0), ([(1, 2, 3)], 3), ([(1, 2, 3), (1, 2)], 2), ([(1, 2, 3), (1, 5), (1, 2, 4)], 1), ([(2, 1), (1, 1)], 0)],
)
def test_what_sequences_have_in_common(sequences: list[tuple[int, ...]], length: int) -> None:
    assert common(sequences) == length


def test_a_reading_hardly_moves_with_its_company(pair: Pair) -> None:
    """Alone, beside prompts that begin like it, and beside one that does not, it shares nothing, much, or little."""
    subject = pair.subject(1)
    carrier = "what is a good soup for a cold day ?"
    behind = [user(f"{carrier} {word}") for word in prompts(80, seed=5)]
    alike = run(subject.first_token(behind))
    mixed = run(subject.first_token([*behind, user("hi")]))[:-1]
    alone = np.concatenate([run(subject.first_token([turns])) for turns in behind[:10]])
    np.testing.assert_allclose(alike, mixed, atol=1e-5)
    np.testing.assert_allclose(alike[:10], alone, atol=1e-5)


def test_equal_calls_give_equal_bytes_whoever_else_is_running(pair: Pair) -> None:
    subject = pair.subject(1, sham=2)
    behind = [user(f"what is a good soup for a cold day ? {word}") for word in prompts(80, seed=5)]
    quiet = run(subject.first_token(behind))

    async def busy() -> np.ndarray:
        noise = asyncio.ensure_future(subject.generate(behind[:9], n=5, max_tokens=30))
        others = [asyncio.ensure_future(subject.first_token(behind[::-1], side=side)) for side in ("base", "sham")]
        found = await subject.first_token(behind)
        await asyncio.gather(noise, *others)
        return found

    assert np.array_equal(run(busy()), quiet)
