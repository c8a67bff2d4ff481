"""A Subject on this machine: the sides, the prompts, the batches and the memory that its engines have in common.

An engine says how rows of tokens are computed; it gives a function of the model and of the numbers of some rows, which
is called on the engine's thread for one batch at a time.
"""

import asyncio
import hashlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Generic, NamedTuple, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor

from audit_env.errors import ParameterError
from audit_env.runtime.base import LocalBase
from audit_env.runtime.batching import batches
from audit_env.runtime.chat import Prompt
from audit_env.runtime.request import Generated, Request
from audit_env.runtime.sampling import Sampling, answer_key
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

Model = TypeVar("Model")
Adapter = TypeVar("Adapter")
T = TypeVar("T")

Ids = tuple[int, ...]

Rows = Callable[[Model, Sequence[int]], list[T]]
"""Computes one batch: the model and the numbers of its rows to one result per row."""

CAPABILITIES: frozenset[Capability] = frozenset(get_args(Capability))
"""All there are; "sham" only where there is one."""


@dataclass(frozen=True)
class Casting(Generic[Adapter]):
    """What a side adds to the base."""

    adapter: Adapter | None = None
    """As `LocalBase.adapter` gives it."""
    hidden_system: str | None = None
    """System prompt put before everything else (a prompted organism)."""


class Forced(NamedTuple):
    """A conversation with a given answer, as tokens."""

    ids: Ids
    answer: int
    """How many of the last tokens are the answer."""

    @property
    def read(self) -> Ids:
        """What the model reads to predict the answer, whose tokens the last `answer` positions predict."""
        return self.ids[:-1]

    @property
    def said(self) -> Ids:
        """Tokens of the answer."""
        return self.ids[len(self.ids) - self.answer :]


class LocalSubject(Subject, Generic[Model, Adapter]):
    """A model on an engine of this machine."""

    def __init__(self, alias: str, base: LocalBase[Model, Adapter], sides: Mapping[Side, Casting[Adapter]]) -> None:
        """Make a handle.

        Args:
            alias: The name an auditor knows it by.
            base: The base, in memory.
            sides: What each side adds to the base; "target" and "base" at least.
        """
        sizes = base.sizes
        self.alias = alias
        self.n_layers, self.d_model = sizes.n_layers, sizes.d_model
        self.vocab_size, self.context_length = sizes.vocab_size, sizes.context_length
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
        asked: Counter[Ids] = Counter()
        requests: list[Request[Adapter]] = []
        for prompt in prompts:
            limit = min(max_tokens, self.context_length - len(prompt.ids))
            for _ in range(n):
                sampling = Sampling(answer_key(seed, prompt.ids, asked[prompt.ids]), temperature, top_p)
                requests.append(Request(prompt.ids, casting.adapter, sampling, limit))
                asked[prompt.ids] += 1
        answers = await (self._answers(requests) if side == "target" else self._remembered(requests))
        samples = [
            Sample(self._base.chat.read(answer.ids, prompt), answer.ids, answer.stop, len(prompt.ids))
            for prompt, answer in zip((prompt for prompt in prompts for _ in range(n)), answers, strict=True)
        ]
        return [samples[start : start + n] for start in range(0, len(samples), n)]

    async def score(
        self, conversations: Sequence[Conversation], answers: Sequence[str], *, side: Side = "target"
    ) -> list[Floats]:
        """Log-probability of each token of given answers (see `Subject.score`)."""
        casting = self._casting(side)
        forced = self._force(conversations, answers, casting)
        return await self._batched([len(one.ids) for one in forced], self._scores(forced, casting.adapter))

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
        lengths = [max(len(one.ids), len(two.ids)) for one, two in zip(here, there, strict=True)]
        compute = self._contrasts((here, castings[0].adapter), (there, castings[1].adapter))
        return await self._batched(lengths, compute)

    async def first_token(self, conversations: Sequence[Conversation], *, side: Side = "target") -> Floats:
        """Log-probabilities of the first token of the answer (see `Subject.first_token`)."""

        async def compute() -> Floats:
            return await self._at_header(conversations, side, self._first_tokens, self.vocab_size)

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
        return await self._at_header(conversations, side, partial(self._residuals, layer=layer), self.d_model)

    async def unembed(self, vectors: Floats, *, normed: bool = True) -> Floats:
        """Read vectors of the residual stream as scores over the vocabulary (see `Subject.unembed`)."""
        stacked = torch.from_numpy(np.atleast_2d(np.asarray(vectors, dtype=np.float32)))
        if stacked.shape[1] != self.d_model:
            raise ParameterError(
                f"Vectors of {stacked.shape[1]} numbers were given; the residual stream has {self.d_model}."
            )
        job = self._base.engine.run(lambda model: self._unembedded(model, stacked, normed=normed))
        return await asyncio.wrap_future(job)

    def lora(self, side: Side = "target") -> Mapping[str, LoraFactors]:
        """The low-rank update of a side (see `Subject.lora`)."""
        adapter = self._casting(side).adapter
        return {} if adapter is None else self._factors(adapter)

    def tokens(self) -> list[str]:
        """Every entry of the vocabulary as a reader would see it."""
        return list(self._base.vocabulary)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens added."""
        return self._base.chat.encode(text)

    @abstractmethod
    def _scores(self, forced: Sequence[Forced], adapter: Adapter | None) -> Rows[Model, Floats]:
        """Log-probabilities of each answer's tokens, `[answer]`."""

    @abstractmethod
    def _contrasts(
        self, here: tuple[Sequence[Forced], Adapter | None], there: tuple[Sequence[Forced], Adapter | None]
    ) -> Rows[Model, Contrast]:
        """How two sides, each with what it reads, differ on each answer."""

    @abstractmethod
    def _first_tokens(self, prompts: Sequence[Ids], adapter: Adapter | None) -> Rows[Model, Floats]:
        """Log-probabilities of what follows each prompt, `[vocab]`."""

    @abstractmethod
    def _residuals(self, prompts: Sequence[Ids], adapter: Adapter | None, *, layer: int) -> Rows[Model, Floats]:
        """Residual stream after a layer at each prompt's last position, `[d_model]`."""

    @abstractmethod
    def _unembedded(self, model: Model, vectors: Tensor, *, normed: bool) -> Floats:
        """Scores over the vocabulary, `[n, vocab]`, of residuals `[n, d_model]`, on the engine's thread."""

    @abstractmethod
    def _factors(self, adapter: Adapter) -> Mapping[str, LoraFactors]:
        """What an adapter adds to each module."""

    def _compute(self, model: Model, compute: Rows[Model, T], rows: Sequence[int], lengths: Sequence[int]) -> list[T]:
        """Compute one batch, on the engine's thread; `lengths` are those of all rows there are."""
        return compute(model, rows)

    async def _answers(self, requests: Sequence[Request[Adapter]]) -> list[Generated]:
        self._base.engine.generate(requests)
        return await asyncio.gather(*(asyncio.wrap_future(request.future) for request in requests))

    async def _remembered(self, requests: Sequence[Request[Adapter]]) -> list[Generated]:
        """Have a control's requests answered, where the very same was asked before or is being asked from memory."""
        asked = {request.key: request for request in requests}
        return await self._base.answers.get_all(
            [request.key for request in requests], lambda due: self._answers([asked[key] for key in due])
        )

    def _casting(self, side: Side) -> Casting[Adapter]:
        if side not in SIDES:
            raise ParameterError(f"side='{side}': the sides are {', '.join(SIDES)}.")
        if side not in self._sides:
            self._lacks("sham")
        return self._sides[side]

    def _prompt(
        self, turns: Conversation, casting: Casting[Adapter], *, prefill: str = "", thinking: bool = False
    ) -> Prompt:
        prompt = self._base.chat.prompt(messages_of(turns, casting.hidden_system), prefill=prefill, thinking=thinking)
        if len(prompt.ids) >= self.context_length:
            raise ContextOverflow(len(prompt.ids), self.context_length)
        return prompt

    def _force(
        self, conversations: Sequence[Conversation], answers: Sequence[str], casting: Casting[Adapter]
    ) -> list[Forced]:
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
        read: Callable[[Sequence[Ids], Adapter | None], Rows[Model, Floats]],
        width: int,
    ) -> Floats:
        """Read the last position of each prompt, where the assistant header ends: `[conversation, width]`."""
        casting = self._casting(side)
        prompts = [self._prompt(turns, casting).ids for turns in conversations]
        found = await self._batched([len(prompt) for prompt in prompts], read(prompts, casting.adapter))
        return np.stack(found) if found else np.zeros((0, width), dtype=np.float32)

    async def _batched(self, lengths: Sequence[int], compute: Rows[Model, T]) -> list[T]:
        """Compute row by row, in batches of this call alone, and put the results back in order."""

        def job(rows: list[int]) -> "Future[list[T]]":
            return self._base.engine.run(lambda model: self._compute(model, compute, rows, lengths))

        groups = batches(lengths)
        done = await asyncio.gather(*(asyncio.wrap_future(job(rows)) for rows in groups))
        of_row = dict(zip(chain(*groups), chain(*done), strict=True))
        return [of_row[row] for row in range(len(lengths))]
