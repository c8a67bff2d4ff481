"""A Subject on the hf engine: which adapter each side uses, and the readings of any architecture.

Answers depend on seed, prompt and number alone, as on the small engine. In fp32 that holds whatever shares the batch,
near ties included, since a choice that rounding could turn over is made on the row's own logits. In bf16 and coarser
rounding moves logits by hundredths, which is too much for that: a near tie may there fall otherwise in another
company, and a reading move by as much.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from audit_env.errors import ParameterError
from audit_env.runtime.chat import Prompt
from audit_env.runtime.hf.base import HfBase
from audit_env.runtime.hf.batch import Request
from audit_env.runtime.hf.memory import in_halves
from audit_env.runtime.hf.model import HfModel
from audit_env.runtime.hf.readings import array, contrast, first_tokens, scores, unembedded
from audit_env.runtime.small.batch import Generated
from audit_env.runtime.small.model import batches
from audit_env.runtime.small.sampling import Sampling, answer_key
from audit_env.runtime.small.subject import CAPABILITIES, Forced
from audit_env.runtime.subject import (
    SIDES,
    ContextOverflow,
    Contrast,
    Conversation,
    Floats,
    LoraFactors,
    Sample,
    Side,
    Subject,
    check_sampling,
    messages_of,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Casting:
    """What a side adds to the base."""

    adapter: str | None = None
    """Name of an adapter of the base, as `HfBase.adapter` gives it."""
    hidden_system: str | None = None
    """System prompt put before everything else (a prompted organism)."""


class HfSubject(Subject):
    """A causal language model on the hf engine."""

    engine = "hf"

    def __init__(self, alias: str, base: HfBase, sides: Mapping[Side, Casting]) -> None:
        """Make a handle.

        Args:
            alias: The name an auditor knows it by.
            base: The base, in memory.
            sides: What each side adds to the base; "target" and "base" at least.
        """
        model = base.model
        self.alias = alias
        self.n_layers, self.d_model = model.n_layers, model.d_model
        self.vocab_size, self.context_length = model.vocab_size, model.context_length
        self.capabilities = CAPABILITIES if "sham" in sides else CAPABILITIES - {"sham"}
        self._base, self._sides = base, dict(sides)

    async def generate(
        self,
        conversations: Sequence[Conversation],
        *,
        side: Side = "target",
        prefill: str = "",
        n: int = 1,
        temperature: float = 1.0,
        top_p: float = 1.0,
        max_tokens: int = 64,
        seed: int = 0,
        thinking: bool = False,
    ) -> list[list[Sample]]:
        """Answer conversations (see `Subject.generate`)."""
        check_sampling(n, temperature, top_p, max_tokens)
        casting = self._casting(side)
        prompts = [self._prompt(turns, casting, prefill=prefill, thinking=thinking) for turns in conversations]
        asked: Counter[tuple[int, ...]] = Counter()
        requests: list[Request] = []
        for prompt in prompts:
            limit = min(max_tokens, self.context_length - len(prompt.ids))
            for _ in range(n):
                sampling = Sampling(answer_key(seed, prompt.ids, asked[prompt.ids]), temperature, top_p)
                requests.append(Request(prompt.ids, casting.adapter, sampling, limit))
                asked[prompt.ids] += 1
        answers = await self._answers(requests, remembered=side != "target")
        samples = [
            Sample(self._base.chat.read(answer.ids, prompt), answer.ids, answer.stop, len(prompt.ids))
            for prompt, answer in zip((prompt for prompt in prompts for _ in range(n)), answers, strict=True)
        ]
        return [samples[start : start + n] for start in range(0, len(samples), n)]

    async def _answers(self, requests: Sequence[Request], *, remembered: bool) -> list[Generated]:
        """Have requests answered, controls' from memory where the very same was asked before."""
        memo = self._base.answers
        keys = [(request.adapter, request.prompt, request.sampling, request.limit) for request in requests]
        found = [memo.get(key) if remembered else None for key in keys]
        due = [place for place, answer in enumerate(found) if answer is None]
        self._base.engine.generate([requests[place] for place in due])
        given = await asyncio.gather(*(asyncio.wrap_future(requests[place].future) for place in due))
        new = dict(zip(due, given, strict=True))
        if remembered:
            for place, answer in new.items():
                memo.keep(keys[place], answer)
        return [new[place] if answer is None else answer for place, answer in enumerate(found)]

    async def score(
        self, conversations: Sequence[Conversation], answers: Sequence[str], *, side: Side = "target"
    ) -> list[Floats]:
        """Log-probability of each token of given answers (see `Subject.score`)."""
        casting = self._casting(side)
        forced = self._force(conversations, answers, casting)

        def compute(model: HfModel, rows: Sequence[int]) -> list[Floats]:
            chosen = [forced[row] for row in rows]
            hidden = _predicting(model, chosen, casting)
            return [scores(model, one, _said(answer)) for one, answer in zip(hidden, chosen, strict=True)]

        return await self._batched([len(one.ids) for one in forced], compute)

    async def contrast(
        self,
        conversations: Sequence[Conversation],
        answers: Sequence[str],
        *,
        side: Side = "target",
        other: Side = "base",
    ) -> list[Contrast]:
        """How two sides differ on given answers (see `Subject.contrast`)."""
        castings = self._casting(side), self._casting(other)
        forced = [self._force(conversations, answers, casting) for casting in castings]

        def compute(model: HfModel, rows: Sequence[int]) -> list[Contrast]:
            sides = (
                _predicting(model, [of_side[row] for row in rows], casting)
                for of_side, casting in zip(forced, castings, strict=True)
            )
            return [contrast(model, here, there) for here, there in zip(*sides, strict=True)]

        return await self._batched([max(len(one.ids), len(two.ids)) for one, two in zip(*forced, strict=True)], compute)

    async def first_token(self, conversations: Sequence[Conversation], *, side: Side = "target") -> Floats:
        """Log-probabilities of the first token of the answer (see `Subject.first_token`)."""
        casting = self._casting(side)
        prompts = [self._prompt(turns, casting).ids for turns in conversations]

        def read(model: HfModel, rows: Sequence[int]) -> Floats:
            batch = model.padded([prompts[row] for row in rows])
            return first_tokens(model, model.hidden(batch, casting.adapter)[:, -1])

        async def compute() -> Floats:
            return await self._at_header(prompts, read, self.vocab_size)

        if side == "target":  # asked once; the controls are shared by many targets
            return await compute()
        key = casting.adapter, hashlib.sha256(repr(prompts).encode()).digest()
        found = await self._base.first_tokens.get(key, compute)
        found.setflags(write=False)  # every reader gets this very array
        return found

    async def header_residuals(
        self, conversations: Sequence[Conversation], *, side: Side = "target", layer: int
    ) -> Floats:
        """Residual stream at the assistant header (see `Subject.header_residuals`)."""
        if not -1 <= layer < self.n_layers:
            raise ParameterError(
                f"layer={layer}: the model has the layers 0 to {self.n_layers - 1}, and -1, its embedding."
            )
        casting = self._casting(side)
        prompts = [self._prompt(turns, casting).ids for turns in conversations]

        def read(model: HfModel, rows: Sequence[int]) -> Floats:
            batch = model.padded([prompts[row] for row in rows])
            return array(model.residual(batch, casting.adapter, layer)[:, -1])

        return await self._at_header(prompts, read, self.d_model)

    async def unembed(self, vectors: Floats, *, normed: bool = True) -> Floats:
        """Read vectors of the residual stream as scores over the vocabulary (see `Subject.unembed`)."""
        stacked = torch.from_numpy(np.atleast_2d(np.asarray(vectors, dtype=np.float32)))
        if stacked.shape[1] != self.d_model:
            raise ParameterError(
                f"Vectors of {stacked.shape[1]} numbers were given; the residual stream has {self.d_model}."
            )
        return await asyncio.wrap_future(self._base.engine.run(lambda model: unembedded(model, stacked, normed=normed)))

    def lora(self, side: Side = "target") -> Mapping[str, LoraFactors]:
        """The low-rank update of a side (see `Subject.lora`)."""
        adapter = self._casting(side).adapter
        if adapter is None:
            return {}

        def compute(model: HfModel) -> dict[str, LoraFactors]:
            factors = model.adapters.factors(adapter)
            return {name: LoraFactors(array(a), array(b), scale) for name, (a, b, scale) in factors.items()}

        return self._base.engine.run(compute).result()

    def embedding(self) -> Floats:
        """The embedding of every token, `[vocab, d_model]`."""
        return array(self._base.model.parts.embedding.weight)

    def unembedding(self) -> Floats:
        """The unembedding of every token, `[vocab, d_model]`."""
        return array(self._base.model.parts.head.weight)

    def final_norm(self) -> Floats:
        """What the final norm multiplies each coordinate by, `[d_model]`."""
        return array(self._base.model.parts.gain)

    def tokens(self) -> list[str]:
        """Every entry of the vocabulary as a reader would see it."""
        return list(self._base.vocabulary)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens added."""
        return self._base.chat.encode(text)

    def _casting(self, side: Side) -> Casting:
        if side not in SIDES:
            raise ParameterError(f"side='{side}': the sides are {', '.join(SIDES)}.")
        if side not in self._sides:
            self._lacks("sham")
        return self._sides[side]

    def _prompt(self, turns: Conversation, casting: Casting, *, prefill: str = "", thinking: bool = False) -> Prompt:
        prompt = self._base.chat.prompt(messages_of(turns, casting.hidden_system), prefill=prefill, thinking=thinking)
        if len(prompt.ids) >= self.context_length:
            raise ContextOverflow(len(prompt.ids), self.context_length)
        return prompt

    def _force(self, conversations: Sequence[Conversation], answers: Sequence[str], casting: Casting) -> list[Forced]:
        if len(conversations) != len(answers):
            raise ParameterError(
                f"{len(conversations)} conversations and {len(answers)} answers: give one answer for each."
            )
        forced: list[Forced] = []
        for turns, answer in zip(conversations, answers, strict=True):
            said = self._base.chat.continuation(messages_of(turns), answer)
            ids = (*self._prompt(turns, casting).ids, *said)
            if len(ids) > self.context_length:
                raise ContextOverflow(len(ids), self.context_length)
            forced.append(Forced(ids, len(said)))
        return forced

    async def _at_header(
        self, prompts: Sequence[tuple[int, ...]], read: Callable[[HfModel, Sequence[int]], Floats], width: int
    ) -> Floats:
        """Read the last position of each prompt, where the assistant header ends: `[prompt, width]`."""
        found = await self._batched([len(prompt) for prompt in prompts], lambda model, rows: list(read(model, rows)))
        return np.stack(found) if found else np.zeros((0, width), dtype=np.float32)

    async def _batched(self, lengths: Sequence[int], compute: Callable[[HfModel, Sequence[int]], list[T]]) -> list[T]:
        """Compute row by row, in batches of this call alone, and put the results back in order."""

        def job(rows: list[int]) -> "Future[list[T]]":
            return self._base.engine.run(lambda model: in_halves(rows, lengths, lambda some: compute(model, some)))

        groups = batches(lengths)
        done = await asyncio.gather(*(asyncio.wrap_future(job(rows)) for rows in groups))
        of_row = dict(zip(chain(*groups), chain(*done), strict=True))
        return [of_row[row] for row in range(len(lengths))]


def _said(forced: Forced) -> tuple[int, ...]:
    """Tokens of the answer."""
    return forced.ids[len(forced.ids) - forced.answer :]


def _predicting(model: HfModel, forced: Sequence[Forced], casting: Casting) -> list[Tensor]:
    """Normed residuals that predict each answer, `[answer, d_model]`."""
    hidden = model.hidden(model.padded([one.read for one in forced]), casting.adapter)
    return [row[len(row) - one.answer :] for row, one in zip(hidden, forced, strict=True)]
