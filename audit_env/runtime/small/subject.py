"""A Subject on the small engine: which adapter each side uses, and the reductions of every reading."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, TypeVar, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from audit_env.errors import ParameterError
from audit_env.runtime.chat import Prompt
from audit_env.runtime.small.adapter import Adapter
from audit_env.runtime.small.base import Base
from audit_env.runtime.small.batch import Generated, Request
from audit_env.runtime.small.model import Llama, batches
from audit_env.runtime.small.sampling import Sampling, answer_key
from audit_env.runtime.small.sweep import Sweep
from audit_env.runtime.subject import (
    SIDES,
    Capability,
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

CAPABILITIES: frozenset[Capability] = frozenset(get_args(Capability))
"""All there are; "sham" only where there is one."""


@dataclass(frozen=True)
class Casting:
    """What a side adds to the base."""

    adapter: Adapter | None = None
    hidden_system: str | None = None
    """System prompt put before everything else (a prompted organism)."""


class Forced(NamedTuple):
    """A conversation with a given answer, as tokens."""

    ids: tuple[int, ...]
    answer: int
    """How many of the last tokens are the answer."""

    @property
    def read(self) -> tuple[int, ...]:
        """What the model reads to predict the answer, whose tokens the last `answer` positions predict."""
        return self.ids[:-1]


class SmallSubject(Subject):
    """A Llama-architecture model on the small engine."""

    engine = "small"

    def __init__(self, alias: str, base: Base, sides: Mapping[Side, Casting]) -> None:
        """Make a handle.

        Args:
            alias: The name an auditor knows it by.
            base: The base, in memory.
            sides: What each side adds to the base; "target" and "base" at least.
        """
        shape = base.model.shape
        self.alias = alias
        self.n_layers, self.d_model = shape.n_layers, shape.d_model
        self.vocab_size, self.context_length = shape.vocab_size, shape.context_length
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
        sweep = _sweep(forced, casting)

        def compute(model: Llama, rows: Sequence[int]) -> list[Floats]:
            residuals = sweep.residuals(model, rows)
            return [_scores(model, forced[row], residual) for row, residual in zip(rows, residuals, strict=True)]

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
        here, there = (self._force(conversations, answers, casting) for casting in castings)
        sweeps = [_sweep(forced, casting) for forced, casting in zip((here, there), castings, strict=True)]

        def compute(model: Llama, rows: Sequence[int]) -> list[Contrast]:
            residuals = zip(*(sweep.residuals(model, rows) for sweep in sweeps), strict=True)
            return [_contrast(model.logits(one), model.logits(other)) for one, other in residuals]

        lengths = [max(len(one.ids), len(two.ids)) for one, two in zip(here, there, strict=True)]
        return await self._batched(lengths, compute)

    async def first_token(self, conversations: Sequence[Conversation], *, side: Side = "target") -> Floats:
        """Log-probabilities of the first token of the answer (see `Subject.first_token`)."""

        def read(model: Llama, last: Tensor) -> Tensor:
            return F.log_softmax(model.logits(last), dim=-1)

        async def compute() -> Floats:
            return await self._at_header(conversations, side, None, read, self.vocab_size)

        if side == "target":  # asked once; the controls are shared by many targets
            return await compute()
        casting = self._casting(side)
        prompts = tuple(self._prompt(turns, casting).ids for turns in conversations)
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
        return await self._at_header(conversations, side, layer, lambda _, last: last, self.d_model)

    async def unembed(self, vectors: Floats, *, normed: bool = True) -> Floats:
        """Read vectors of the residual stream as scores over the vocabulary (see `Subject.unembed`)."""
        stacked = torch.from_numpy(np.atleast_2d(np.asarray(vectors, dtype=np.float32)))
        if stacked.shape[1] != self.d_model:
            raise ParameterError(
                f"Vectors of {stacked.shape[1]} numbers were given; the residual stream has {self.d_model}."
            )

        def compute(model: Llama) -> Floats:
            return _array(model.logits(stacked) if normed else F.linear(stacked, model.weights.unembedding))

        return await asyncio.wrap_future(self._base.engine.run(compute))

    def lora(self, side: Side = "target") -> Mapping[str, LoraFactors]:
        """The low-rank update of a side (see `Subject.lora`)."""
        adapter = self._casting(side).adapter
        if adapter is None:
            return {}
        return {name: LoraFactors(_array(a), _array(b), adapter.scale) for name, (a, b) in adapter.modules.items()}

    def embedding(self) -> Floats:
        """The embedding of every token, `[vocab, d_model]`."""
        return _array(self._base.model.weights.embedding)

    def unembedding(self) -> Floats:
        """The unembedding of every token, `[vocab, d_model]`."""
        return _array(self._base.model.weights.unembedding)

    def final_norm(self) -> Floats:
        """The weight of the final norm, `[d_model]`."""
        return _array(self._base.model.weights.final_norm)

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
        self,
        conversations: Sequence[Conversation],
        side: Side,
        through: int | None,
        read: Callable[[Llama, Tensor], Tensor],
        width: int,
    ) -> Floats:
        """Read the residual at the last position of each prompt: `[conversation, width]`."""
        casting = self._casting(side)
        prompts = [self._prompt(turns, casting).ids for turns in conversations]
        sweep = Sweep(prompts, casting.adapter, [1] * len(prompts), through=through)

        def compute(model: Llama, rows: Sequence[int]) -> list[Floats]:
            return list(_array(read(model, torch.cat(sweep.residuals(model, rows)))))

        found = await self._batched([len(prompt) for prompt in prompts], compute)
        return np.stack(found) if found else np.zeros((0, width), dtype=np.float32)

    async def _batched(self, lengths: Sequence[int], compute: Callable[[Llama, Sequence[int]], list[T]]) -> list[T]:
        """Compute row by row, in batches of this call alone, and put the results back in order."""

        def job(rows: list[int]) -> "Future[list[T]]":
            return self._base.engine.run(lambda model: compute(model, rows))

        groups = batches(lengths)
        done = await asyncio.gather(*(asyncio.wrap_future(job(rows)) for rows in groups))
        of_row = dict(zip(chain(*groups), chain(*done), strict=True))
        return [of_row[row] for row in range(len(lengths))]


def _sweep(forced: Sequence[Forced], casting: Casting) -> Sweep:
    """The positions that predict each answer."""
    return Sweep([one.read for one in forced], casting.adapter, [one.answer for one in forced])


def _scores(model: Llama, forced: Forced, residual: Tensor) -> Floats:
    """Log-probability of each answer token, from the residual that predicts it, `[answer, d_model]`."""
    said = torch.tensor(forced.ids[len(forced.ids) - forced.answer :], dtype=torch.long)
    logs = F.log_softmax(model.logits(residual), dim=-1)
    return _array(logs.gather(1, said[:, None])[:, 0])


def _contrast(here: Tensor, there: Tensor) -> Contrast:
    """Compare the logits of two sides, both `[answer, vocab]`."""
    log_p, log_q = F.log_softmax(here, dim=-1), F.log_softmax(there, dim=-1)
    p, q = log_p.exp(), log_q.exp()
    contribution = (p * (log_p - log_q)).sum(dim=0)
    tokens = len(here)
    return Contrast(
        kl=float(contribution.sum()) / max(1, tokens),
        gained=_array((p - q).sum(dim=0)),
        contribution=_array(contribution),
        tokens=tokens,
    )


def _array(tensor: Tensor) -> Floats:
    """A copy as numpy, so that no caller holds the engine's memory."""
    array: Floats = tensor.detach().to(torch.float32).numpy().copy()
    return array
