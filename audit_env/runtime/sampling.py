"""Which token comes next: sampling whose result does not depend on the batch, exactly.

A token is chosen by the Gumbel-max trick: the argmax of `logit + temperature * noise`, with the nucleus cut before. The
noise is a function of the request's key, the step and the token, and of nothing else, so it is the same whoever
shares the batch. The logits are not quite: the same row computed in another batch differs by about 1e-6 (sums are
ordered differently), which now and then is enough to turn a near tie over.

So a choice is made on the batch's logits only where it is *sure*: where it would be the same if every logit moved by
`TOLERANCE / 2`, some hundred times the error. Where it is not (about one token in a thousand at temperature 1), the
engine computes the row's logits again, alone and without a cache, and chooses on those. Either way the choice is the
one on the row's own logits. This holds for one machine and one number of threads, which set the row's own logits.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from audit_env.runtime.amplifying import Amplified, error

TOLERANCE = 1e-3
"""Margin, in logits, below which a choice is not taken from a batch."""

_AT_ONCE = 2**16
"""Numbers of noise that are made at a time: few enough to stay in the processor's cache, which doubles the speed."""

_GOLDEN, _MIX1, _MIX2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True)
class Sampling:
    """How one answer is drawn."""

    key: int
    """64-bit key of the answer's noise."""
    temperature: float = 1.0
    top_p: float = 1.0
    amplify: float = 0.0
    """How much what the side adds to the base is amplified (see `amplifying`)."""


class Choice(NamedTuple):
    """The next token of each row."""

    tokens: list[int]
    sure: list[bool]
    """Whether no error of the batch could have changed it."""
    finite: list[bool]
    """Whether the logits were numbers. Where they were not, the token means nothing."""


def answer_key(seed: int, prompt: Sequence[int], number: int) -> int:
    """Key of an answer's noise.

    The prompt is part of it, so that different prompts under one seed are independent; the side is not, so that the
    sides of a subject meet the same noise.

    Args:
        seed: The caller's seed.
        prompt: Token ids of the prompt.
        number: Which of the answers to this prompt.

    Returns:
        64 bits.
    """
    text = f"{seed}/{number}/{','.join(map(str, prompt))}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def choose(
    logits: Tensor,
    samplings: Sequence[Sampling],
    steps: Sequence[int],
    tolerance: float = TOLERANCE,
    *,
    base: Tensor | None = None,
) -> Choice:
    """Choose the next token of each row.

    Args:
        logits: `[b, vocab]`
        samplings: How each row is drawn.
        steps: How many tokens each row has so far.
        tolerance: Margin that a sure choice has. 0 for a row's own logits, on which every choice stands.
        base: Logits of the base for the rows that amplify, in their order, `[amplifying, vocab]`.

    Returns:
        The choice, on these logits.
    """
    louder = [row for row, sampling in enumerate(samplings) if sampling.amplify]
    amplified = None
    if base is not None and louder:
        amplified = Amplified(logits[louder], base, [samplings[row].amplify for row in louder], tolerance)
        logits = logits.index_copy(0, torch.tensor(louder), amplified.logits)
    temperatures = _column(sampling.temperature for sampling in samplings)
    scores = logits
    if temperatures.any():
        noise = gumbel([sampling.key for sampling in samplings], steps, logits.shape[1])
        scores = torch.addcmul(logits, temperatures, noise, out=noise)
    cut = [row for row, sampling in enumerate(samplings) if sampling.temperature > 0 and sampling.top_p < 1]
    nucleus = _Nucleus(logits[cut], [samplings[row] for row in cut], tolerance) if cut else None
    if nucleus is not None:
        scores[cut] = scores[cut].masked_fill(~nucleus.possible, -torch.inf)
    tokens = torch.from_numpy(scores.numpy().argmax(axis=1))  # ten times as fast as torch's
    best = scores.gather(1, tokens[:, None])
    second = scores.scatter_(1, tokens[:, None], -torch.inf).amax(dim=1, keepdim=True)
    scores.scatter_(1, tokens[:, None], best)  # put back: a copy of all scores takes longer
    margins = tolerance * _column(error(sampling.amplify) for sampling in samplings)
    sure = (best - second > margins)[:, 0]
    if amplified is not None:
        sure[louder] &= amplified.surely_drawable(tokens[louder])
    if nucleus is not None:
        sure[cut] &= nucleus.surely_holds(tokens[cut])
    # numpy's argmax stops at the first NaN, so that one anywhere in a row is its best score.
    return Choice(tokens.tolist(), sure.tolist(), best.isfinite()[:, 0].tolist())


class _Nucleus:
    """The likeliest tokens that together hold `top_p`, on logits `[b, vocab]` that may be off by half the tolerance."""

    def __init__(self, logits: Tensor, samplings: Sequence[Sampling], tolerance: float) -> None:
        self._logits, self._tolerance = logits, tolerance
        self._top_p = _column(sampling.top_p for sampling in samplings)
        temperatures = _column(sampling.temperature for sampling in samplings)
        self._probabilities = torch.softmax(logits / temperatures, dim=-1)
        ordered, order = logits.sort(descending=True)
        held = self._probabilities.gather(1, order)
        inside = held.cumsum(dim=-1) - held < self._top_p + tolerance
        last = ordered.masked_fill(~inside, torch.inf).amin(dim=-1, keepdim=True)
        self.possible = logits >= last - tolerance
        """Tokens that may be in the nucleus, `[b, vocab]`."""

    def surely_holds(self, tokens: Tensor) -> Tensor:
        """Whether each row's token `[b]` is in its nucleus whatever the error, `[b]`."""
        own = self._logits.gather(1, tokens[:, None])
        ahead = self._probabilities.where(self._logits > own - self._tolerance, 0.0).sum(dim=-1, keepdim=True)
        return (ahead - self._probabilities.gather(1, tokens[:, None]) < self._top_p - self._tolerance)[:, 0]


def _column(numbers: Iterable[float]) -> Tensor:
    """A number for each row, `[b, 1]`."""
    return torch.from_numpy(np.fromiter(numbers, np.float32))[:, None]  # five times as fast as of a list


def gumbel(keys: Sequence[int], steps: Sequence[int], vocab: int) -> Tensor:
    """Standard Gumbel noise as a pure function of key, step and token.

    Each key seeds a SplitMix64 stream (Steele, Lea and Flood, 2014), of which step `s` takes the numbers from `s *
    vocab`.

    Args:
        keys: Key of each row, 64 bits.
        steps: Step of each row.
        vocab: Size of the vocabulary.

    Returns:
        `[b, vocab]`
    """
    counters = np.arange(1, vocab + 1, dtype=np.uint64) * _GOLDEN
    noise = torch.empty(len(keys), vocab)
    with np.errstate(over="ignore"):
        starts = np.array(keys, dtype=np.uint64) + np.array(steps, dtype=np.uint64) * np.uint64(vocab) * _GOLDEN
        rows = min(len(keys), max(1, _AT_ONCE // vocab))
        bits, scratch = np.empty((2, rows, vocab), dtype=np.uint64)
        for first in range(0, len(keys), rows):
            some = starts[first : first + rows, None]
            np.add(some, counters, out=bits[: len(some)])
            _mix(bits[: len(some)], scratch[: len(some)])
            _from_bits(bits[: len(some)], noise[first : first + rows])
    return noise


def _from_bits(bits: npt.NDArray[np.uint64], noise: Tensor) -> None:
    """Turn random bits into noise, which is written to a tensor of the same shape."""
    # The uniform number u is 53 bits of a fraction. -log1p(-u) is exponential, and keeps its relative precision in fp32
    # near 0, where the winners are; u = 1, which only rounding makes, would give an infinity.
    bits >>= np.uint64(11)
    minus_u = noise.copy_(torch.from_numpy(bits.view(np.int64))).add_(0.5).mul_(-(2.0**-53))
    minus_u.clamp_(min=2.0**-24 - 1).log1p_().neg_().log_().neg_()


def _mix(x: npt.NDArray[np.uint64], scratch: npt.NDArray[np.uint64]) -> None:
    """SplitMix64's output function, in place."""
    x ^= np.right_shift(x, np.uint64(30), out=scratch)
    x *= _MIX1
    x ^= np.right_shift(x, np.uint64(27), out=scratch)
    x *= _MIX2
    x ^= np.right_shift(x, np.uint64(31), out=scratch)
