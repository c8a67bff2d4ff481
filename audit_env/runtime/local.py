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
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from os.path import commonprefix
from typing import ClassVar, Generic, Literal, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor

from audit_env.errors import ParameterError
from audit_env.runtime.amplifying import check_amplify
from audit_env.runtime.answers import Answers, Asked
from audit_env.runtime.answers import key as key_on_disk
from audit_env.runtime.base import LocalBase
from audit_env.runtime.batching import MAX_ROWS, READ_ROWS, batches
from audit_env.runtime.chat import Prompt
from audit_env.runtime.dictionaries import Dictionary
from audit_env.runtime.edits import BEFORE_ANSWER, At, Edit, check_edits
from audit_env.runtime.finite import NotFinite, check_finite
from audit_env.runtime.gradients import Traced, added_from_the_end, answer_logprob, backward, divergence
from audit_env.runtime.lenses import TunedLens
from audit_env.runtime.memory import in_halves
from audit_env.runtime.readings import array
from audit_env.runtime.rendering import Forced, Ids, Renderer
from audit_env.runtime.request import Generated, Request
from audit_env.runtime.sampling import Sampling, answer_key
from audit_env.runtime.spans import Placed
from audit_env.runtime.subject import (
    SIDES,
    Capability,
    Contrast,
    Conversation,
    Dose,
    Floats,
    LoraFactors,
    Objective,
    Residuals,
    Sample,
    Scores,
    Side,
    Subject,
    Voice,
    check_reading,
    check_sampling,
    check_top_k,
    stacked,
)

Model = TypeVar("Model")
Adapter = TypeVar("Adapter")
T = TypeVar("T")

Rows = Callable[[Model, Sequence[int]], list[T]]
"""Computes one batch: the model and the numbers of its rows to one result per row."""

CAPABILITIES: frozenset[Capability] = frozenset(get_args(Capability)) - {"perturbed"}
"""What every engine of this machine gives; "sham" only where there is one."""

CONTROLS: tuple[Side, ...] = ("base", "sham")
"""Sides that many targets share, and whose answers are remembered."""


@dataclass(frozen=True)
class Casting(Generic[Adapter]):
    """What a side adds to the base."""

    adapter: Adapter | None = None
    """As `LocalBase.adapter` gives it."""
    hidden_system: str | None = None
    """System prompt put before everything else (a prompted organism)."""


class LocalSubject(Subject, Generic[Model, Adapter]):
    """A model on an engine of this machine."""

    gives: ClassVar[frozenset[Capability]] = CAPABILITIES
    """What the engine can give."""

    def __init__(
        self,
        alias: str,
        base: LocalBase[Model, Adapter],
        sides: Mapping[Side, Casting[Adapter]],
        *,
        kept: Answers | None = None,
    ) -> None:
        """Make a handle.

        Args:
            alias: The name an auditor knows it by.
            base: The base, in memory.
            sides: What each side adds to the base; "target" and "base" at least.
            kept: Answers of earlier runs; None to compute every answer.
        """
        sizes = base.sizes
        self.alias = alias
        self.n_layers, self.d_model = sizes.n_layers, sizes.d_model
        self.vocab_size, self.context_length = sizes.vocab_size, sizes.context_length
        self.capabilities = self.gives if "sham" in sides else self.gives - {"sham"}
        self._base, self._sides = base, dict(sides)
        self._renderer = Renderer(base.chat, sizes.context_length)
        self._kept = kept
        adapters = {casting.adapter for casting in sides.values()} if kept and kept.keep != "off" else set()
        self._sources = {adapter: base.source(self.engine, adapter) for adapter in adapters}

    async def generate(
        self,
        conversations: Sequence[Conversation],
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
        amplify: float = 0.0,
    ) -> list[list[Sample]]:
        """Answer conversations (see `Subject.generate`)."""
        check_sampling(n, temperature, top_p, max_tokens)
        changes = self._checked(edits)
        check_amplify(amplify, top_p, edited=bool(changes))
        casting = await self._voice(side)
        hidden, render = casting.hidden_system, self._renderer
        prompts = [render.prompt(turns, hidden, prefill=prefill, thinking=thinking) for turns in conversations]
        placed = bases = None
        if changes:
            limits = [self._limit(prompt, max_tokens) for prompt in prompts]
            placed = [
                render.growing(turns, hidden, prompt, limit, thinking=thinking).placed(changes)
                for turns, prompt, limit in zip(conversations, prompts, limits, strict=True)
            ]
        if amplify:
            unamplified = self._casting("base").hidden_system
            bases = [
                render.prompt(turns, unamplified, prefill=prefill, thinking=thinking).ids for turns in conversations
            ]
        drawn = partial(Sampling, temperature=temperature, top_p=top_p, amplify=amplify)
        shared = side in CONTROLS and not changes
        return await self._sampled(
            prompts, casting.adapter, n, drawn, max_tokens, seed, remembered=shared, placed=placed, bases=bases
        )

    async def complete(
        self,
        texts: Sequence[str],
        *,
        side: Voice = "target",
        n: int = 1,
        temperature: float = 1.0,
        top_p: float = 1.0,
        max_tokens: int = 64,
        seed: int = 0,
    ) -> list[list[Sample]]:
        """Go on from raw texts (see `Subject.complete`)."""
        check_sampling(n, temperature, top_p, max_tokens)
        adapter = (await self._voice(side)).adapter
        prompts = [self._renderer.raw(text) for text in texts]
        drawn = partial(Sampling, temperature=temperature, top_p=top_p)
        return await self._sampled(prompts, adapter, n, drawn, max_tokens, seed, remembered=side in CONTROLS)

    async def user_turns(
        self,
        conversations: Sequence[Conversation],
        *,
        side: Voice = "target",
        n: int = 1,
        temperature: float = 1.0,
        top_p: float = 1.0,
        max_tokens: int = 64,
        seed: int = 0,
    ) -> list[list[Sample]]:
        """Have the model write what the user says next (see `Subject.user_turns`)."""
        check_sampling(n, temperature, top_p, max_tokens)
        casting = await self._voice(side)
        prompts = [self._renderer.opening(turns, casting.hidden_system, "user") for turns in conversations]
        drawn = partial(Sampling, temperature=temperature, top_p=top_p)
        return await self._sampled(prompts, casting.adapter, n, drawn, max_tokens, seed, remembered=side in CONTROLS)

    async def _sampled(
        self,
        prompts: Sequence[Prompt],
        adapter: Adapter | None,
        n: int,
        drawn: Callable[[int], Sampling],
        max_tokens: int,
        seed: int,
        *,
        remembered: bool,
        placed: Sequence[Placed | None] | None = None,
        bases: Sequence[Ids] | None = None,
    ) -> list[list[Sample]]:
        """What one side says after each prompt, `n` times; `drawn` makes a sampling of a key.

        Each prompt may have its edits, and what the base reads in its place where the difference to it is amplified.
        """
        asked: Counter[Ids] = Counter()
        requests: list[Request[Adapter]] = []
        for number, prompt in enumerate(prompts):
            limit = self._limit(prompt, max_tokens)
            edits, base = placed[number] if placed else None, bases[number] if bases else None
            for _ in range(n):
                sampling = drawn(answer_key(seed, prompt.ids, asked[prompt.ids]))
                requests.append(Request(prompt.ids, adapter, sampling, limit, edits, base))
                asked[prompt.ids] += 1
        return await self._said(prompts, requests, n, remembered=remembered)

    def _limit(self, prompt: Prompt, max_tokens: int) -> int:
        """Tokens to generate at most after a prompt."""
        return min(max_tokens, self.context_length - len(prompt.ids))

    async def score(
        self,
        conversations: Sequence[Conversation],
        answers: Sequence[str],
        *,
        side: Voice = "target",
        top_k: int = 0,
        edits: Sequence[Edit] = (),
    ) -> list[Scores]:
        """How likely one side finds given answers (see `Subject.score`)."""
        check_top_k(top_k, self.vocab_size)
        casting = await self._voice(side)
        forced = self._renderer.forced(conversations, answers, casting.hidden_system, self._checked(edits))
        found = await self._by_row([len(one.ids) for one in forced], self._scores(forced, casting.adapter, top_k))
        check_finite(self.alias, (one.logprobs for one in found))
        return found

    async def contrast(
        self,
        conversations: Sequence[Conversation],
        answers: Sequence[str],
        *,
        side: Voice = "target",
        other: Voice = "base",
        top_k: int = 0,
    ) -> list[Contrast]:
        """How two sides differ on given answers (see `Subject.contrast`)."""
        check_top_k(top_k, self.vocab_size)
        castings = await self._voice(side), await self._voice(other)
        here, there = (self._renderer.forced(conversations, answers, one.hidden_system) for one in castings)
        lengths = [max(len(one.ids), len(two.ids)) for one, two in zip(here, there, strict=True)]
        compute = self._contrasts((here, castings[0].adapter), (there, castings[1].adapter), top_k)
        found = await self._by_row(lengths, compute)
        check_finite(self.alias, (one.contribution for one in found))
        return found

    async def first_token(self, conversations: Sequence[Conversation], *, side: Voice = "target") -> Floats:
        """Log-probabilities of the first token of the answer (see `Subject.first_token`)."""
        casting = await self._voice(side)
        prompts = tuple(self._renderer.prompt(turns, casting.hidden_system).ids for turns in conversations)

        async def compute() -> Floats:
            return await self._at_header(prompts, side)

        if side not in CONTROLS:  # asked once; the controls are shared by many targets
            return await compute()
        key = casting.adapter, hashlib.sha256(repr(prompts).encode()).digest()
        found = await self._base.first_tokens.get(key, compute)
        found.setflags(write=False)  # every reader gets this very array
        return found

    async def residuals(
        self,
        conversations: Sequence[Conversation],
        answers: Sequence[str] | None = None,
        *,
        side: Voice = "target",
        layers: Sequence[int],
        at: At = BEFORE_ANSWER,
        reduce: Literal["none", "mean"] = "none",
        edits: Sequence[Edit] = (),
    ) -> Residuals:
        """Residual stream of conversations (see `Subject.residuals`)."""
        check_reading(layers, reduce, self.n_layers)
        changes = self._checked(edits)
        casting = await self._voice(side)
        hidden, render = casting.hidden_system, self._renderer
        said = [""] * len(conversations) if answers is None else answers
        forced = render.forced(conversations, said, hidden, changes)
        spans = (render.spans(turns, hidden, one) for turns, one in zip(conversations, forced, strict=True))
        wanted = [one.positions(at) for one in spans]
        owner = np.repeat(np.arange(len(wanted)), [len(one) for one in wanted])
        lengths = [len(one.ids) for one in forced]
        read = self._residuals(forced, wanted, casting.adapter, layers)
        if reduce == "mean":
            mean = await self._mean(lengths, read, len(owner))
            check_finite(self.alias, [mean])
            return Residuals(mean, owner)
        none = np.zeros((0, len(layers), self.d_model), dtype=np.float32)
        found = await self._by_row(lengths, lambda model, rows: [array(one) for one in read(model, rows)])
        check_finite(self.alias, found)
        return Residuals(np.concatenate([none, *found]), owner)

    async def attention(self, conversations: Sequence[Conversation], *, side: Voice = "target") -> list[Floats]:
        """How much every head looks at each token of the prompt (see `Subject.attention`)."""
        casting = await self._voice(side)
        prompts = [self._renderer.prompt(turns, casting.hidden_system).ids for turns in conversations]
        compute = self._attention(prompts, casting.adapter)
        found = await self._by_row(
            [len(one) for one in prompts], lambda model, rows: [array(one) for one in compute(model, rows)]
        )
        shown = (tuple(self.rendered(turns)) for turns in conversations)
        return [_shown_of(*row) for row in zip(found, prompts, shown, strict=True)]

    async def gradients(
        self,
        conversations: Sequence[Conversation],
        answers: Sequence[str],
        *,
        side: Voice = "target",
        objective: Objective,
    ) -> list[Floats]:
        """How an objective changes with the embeddings of the tokens before answers (see `Subject.gradients`)."""
        if objective not in get_args(Objective):
            raise ParameterError(f"objective='{objective}': choose one of {', '.join(get_args(Objective))}.")
        casting = await self._voice(side)
        here = self._renderer.forced(conversations, answers, casting.hidden_system)
        there = self._renderer.forced(conversations, answers, self._casting("base").hidden_system)

        def compute(model: Model, rows: Sequence[int]) -> list[Floats]:
            ours, theirs = [here[row] for row in rows], [there[row] for row in rows]
            with torch.inference_mode(False):
                traced = self._traced(model, ours, casting.adapter)
                if objective == "answer_logprob":
                    [found] = backward(answer_logprob(traced.logits, [one.said for one in ours]), traced)
                    return [array(one[: len(forced.prompt)]) for one, forced in zip(found, ours, strict=True)]
                base = self._traced(model, theirs, None)
                both = backward(divergence(traced.logits, base.logits), traced, base)
                return [array(_of_both(*row)) for row in zip(*both, ours, theirs, strict=True)]

        return await self._by_row([max(len(a.ids), len(b.ids)) for a, b in zip(here, there, strict=True)], compute)

    async def unembed(self, vectors: Floats, *, normed: bool = True) -> Floats:
        """Read vectors of the residual stream as scores over the vocabulary (see `Subject.unembed`)."""
        rows = torch.from_numpy(stacked(vectors, self.d_model))
        job = self._base.engine.run(lambda model: self._unembedded(model, rows, normed=normed))
        return await asyncio.wrap_future(job)

    def lora(self, side: Voice = "target") -> Mapping[str, LoraFactors]:
        """The low-rank update of a side (see `Subject.lora`)."""
        adapter = self._casting(side).adapter
        return {} if adapter is None else self._factors(adapter)

    def dictionaries(self) -> tuple[Dictionary, ...]:
        """Sparse dictionaries of the base's residual stream (see `Subject.dictionaries`)."""
        return self._base.dictionaries

    def tuned_lens(self) -> TunedLens | None:
        """The base's tuned lens (see `Subject.tuned_lens`)."""
        return self._base.tuned_lens

    def tokens(self) -> list[str]:
        """Every entry of the vocabulary as a reader would see it."""
        return list(self._base.vocabulary)

    def rendered(self, conversation: Conversation, answer: str = "") -> list[int]:
        """Token ids of a conversation as the model reads it (see `Subject.rendered`)."""
        [forced] = self._renderer.forced([conversation], [answer], None)
        return list(forced.ids)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens added."""
        return self._base.chat.encode(text)

    @abstractmethod
    def _scores(self, forced: Sequence[Forced], adapter: Adapter | None, top_k: int) -> Rows[Model, Scores]:
        """How likely each answer is."""

    @abstractmethod
    def _contrasts(
        self, here: tuple[Sequence[Forced], Adapter | None], there: tuple[Sequence[Forced], Adapter | None], top_k: int
    ) -> Rows[Model, Contrast]:
        """How two sides, each with what it reads, differ on each answer."""

    @abstractmethod
    def _first_tokens(self, prompts: Sequence[Ids], adapter: Adapter | None) -> Rows[Model, Floats]:
        """Log-probabilities of what follows each prompt, `[vocab]`."""

    @abstractmethod
    def _residuals(
        self, forced: Sequence[Forced], wanted: Sequence[range], adapter: Adapter | None, layers: Sequence[int]
    ) -> Rows[Model, Tensor]:
        """Residual stream at each sequence's wanted positions, fp32, `[wanted, layers, d_model]`."""

    @abstractmethod
    def _attention(self, prompts: Sequence[Ids], adapter: Adapter | None) -> Rows[Model, Tensor]:
        """How much each prompt's last token looks at every token, `[layers, heads, tokens]`."""

    @abstractmethod
    def _traced(self, model: Model, forced: Sequence[Forced], adapter: Adapter | None) -> Traced:
        """Run one batch with gradients, on the engine's thread."""

    @abstractmethod
    def _unembedded(self, model: Model, vectors: Tensor, *, normed: bool) -> Floats:
        """Scores over the vocabulary, `[n, vocab]`, of residuals `[n, d_model]`, on the engine's thread."""

    @abstractmethod
    def _factors(self, adapter: Adapter) -> Mapping[str, LoraFactors]:
        """What an adapter adds to each module."""

    def _compute(self, model: Model, compute: Rows[Model, T], rows: Sequence[int], lengths: Sequence[int]) -> list[T]:
        """Compute one batch, on the engine's thread; `lengths` are those of all rows there are."""
        return in_halves(rows, lengths, partial(compute, model))

    async def _said(
        self, prompts: Sequence[Prompt], requests: Sequence[Request[Adapter]], n: int, *, remembered: bool
    ) -> list[list[Sample]]:
        """What is answered to each prompt's `n` requests: as the disk keeps it, or computed now."""

        async def compute(numbers: Sequence[int]) -> list[Sample]:
            due = [requests[number] for number in numbers]
            answers = await (self._remembered(due) if remembered else self._answers(due))
            return [self._sample(prompts[number // n], answer) for number, answer in zip(numbers, answers, strict=True)]

        if self._kept is None:
            samples = await compute(range(len(requests)))
        else:
            keys = [self._key(prompts[number // n], request) for number, request in enumerate(requests)]
            samples = await self._kept.serve(keys, compute)
        return [samples[start : start + n] for start in range(0, len(samples), n)]

    def _sample(self, prompt: Prompt, answer: Generated) -> Sample:
        return Sample(self._base.chat.read(answer.ids, prompt), answer.ids, answer.stop, len(prompt.ids))

    def _key(self, prompt: Prompt, request: Request[Adapter]) -> bytes | None:
        """What an answer is kept under; None where it is edited, amplified, of a dose, or not wanted."""
        source, sampling = self._sources.get(request.adapter), request.sampling
        if self._kept is None or source is None or request.edits is not None or sampling.amplify:
            return None
        if not self._kept.covers(sampling.temperature):
            return None
        asked = Asked(prompt.ids, request.limit, prompt.prefill, sampling.temperature, sampling.top_p, sampling.key)
        return key_on_disk(source, replace(asked, thinking=prompt.thinks))

    async def _answers(self, requests: Sequence[Request[Adapter]]) -> list[Generated]:
        self._base.engine.generate(requests)
        try:
            return await asyncio.gather(*(asyncio.wrap_future(request.future) for request in requests))
        except NotFinite as error:
            raise NotFinite(self.alias) from error
        finally:
            for request in requests:  # where one failed, nobody waits for the others
                request.future.cancel()

    async def _remembered(self, requests: Sequence[Request[Adapter]]) -> list[Generated]:
        """Have a control's requests answered, where the very same was asked before or is being asked from memory."""
        asked = {request.key: request for request in requests}
        return await self._base.answers.get_all(
            [request.key for request in requests], lambda due: self._answers([asked[key] for key in due])
        )

    async def _voice(self, side: Voice) -> Casting[Adapter]:
        """What a side adds to the base, found off the event loop where that may take a while."""
        return await asyncio.to_thread(self._casting, side) if isinstance(side, Dose) else self._casting(side)

    def _casting(self, side: Voice) -> Casting[Adapter]:
        if isinstance(side, Dose):
            casting = self._casting(side.side)
            if side.scale == 0:
                return self._casting("base")
            if casting.adapter is None:
                return casting
            return replace(casting, adapter=self._base.dosed(casting.adapter, side.scale, side.rank))
        if side not in SIDES:
            raise ParameterError(f"side='{side}': the sides are {', '.join(SIDES)}.")
        if side not in self._sides:
            self._lacks("sham")
        return self._sides[side]

    def _checked(self, edits: Sequence[Edit]) -> tuple[Edit, ...]:
        return check_edits(edits, n_layers=self.n_layers, d_model=self.d_model)

    async def _at_header(self, prompts: Sequence[Ids], side: Voice) -> Floats:
        """Log-probabilities of what follows each prompt: `[prompt, vocab]`."""
        casting = await self._voice(side)
        lengths = [len(prompt) for prompt in prompts]
        found = await self._by_row(lengths, self._first_tokens(prompts, casting.adapter), READ_ROWS)
        check_finite(self.alias, found)
        return np.stack(found) if found else np.zeros((0, self.vocab_size), dtype=np.float32)

    async def _mean(self, lengths: Sequence[int], read: Rows[Model, Tensor], positions: int) -> Floats:
        """The mean of all residuals, `[1, layers, d_model]`. Each batch sends its sum alone."""
        if not positions:
            raise ParameterError("reduce='mean': the conversations have no token in this span; name another.")

        def compute(model: Model, rows: Sequence[int]) -> list[Tensor]:
            return [torch.cat(read(model, rows)).sum(dim=0).cpu().double()]

        _, sums = await self._batched(lengths, compute)
        return array(torch.stack(list(chain(*sums))).sum(dim=0, keepdim=True) / positions)

    async def _by_row(self, lengths: Sequence[int], compute: Rows[Model, T], most: int = MAX_ROWS) -> list[T]:
        """Compute row by row, in batches of this call alone, and put the results back in order."""
        groups, done = await self._batched(lengths, compute, most)
        of_row = dict(zip(chain(*groups), chain(*done), strict=True))
        return [of_row[row] for row in range(len(lengths))]

    async def _batched(
        self, lengths: Sequence[int], compute: Rows[Model, T], most: int = MAX_ROWS
    ) -> tuple[list[list[int]], list[list[T]]]:
        """Compute in batches of this call alone: the rows of each batch, and what it gave."""

        def job(rows: list[int]) -> "Future[list[T]]":
            return self._base.engine.run(lambda model: self._compute(model, compute, rows, lengths))

        groups = batches(lengths, most)
        return groups, await asyncio.gather(*(asyncio.wrap_future(job(rows)) for rows in groups))


def _shown_of(shares: Floats, read: Ids, shown: Ids) -> Floats:
    """Shares of the tokens that may be shown, of those of all that a side has read: `[layers, heads, shown]`."""
    first = len(commonprefix((read, shown)))
    last = min(len(commonprefix((read[::-1], shown[::-1]))), len(shown) - first)
    found = np.zeros((*shares.shape[:2], len(shown)), dtype=np.float32)
    found[..., :first] = shares[..., :first]
    found[..., len(shown) - last :] = shares[..., len(read) - last :]
    return found


def _of_both(ours: Tensor, theirs: Tensor, here: Forced, there: Forced) -> Tensor:
    """Gradients of a prompt's tokens, which move for both sides where their prompts end alike."""
    shared = len(commonprefix((here.prompt[::-1], there.prompt[::-1])))
    return added_from_the_end(ours[: len(here.prompt)], theirs[: len(there.prompt)], shared)
