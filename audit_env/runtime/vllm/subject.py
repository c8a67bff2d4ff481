"""A Subject on a vLLM server.

We render conversations ourselves and send token ids, so that there is one BOS and every engine reads the same. Each
answer is a request of its own with a seed of its own, which depends on seed, prompt and number alone; the server puts
requests of all sides into one batch. What the company in a batch moves by rounding can turn a near tie over, so equal
seeds give equal answers but for those (on `small` and on `hf` in fp32 there are none).

What the server sees of a distribution are the likeliest tokens: scores are not exact, and there are no contrasts. Whole
distributions are to be had one position at a time (`first_token`), which takes long where a vocabulary is large.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from inspect_ai._util._async import tg_collect

from audit_env.errors import CapabilityError, ParameterError
from audit_env.runtime.chat import Prompt
from audit_env.runtime.dictionaries import Dictionary
from audit_env.runtime.edits import BEFORE_ANSWER, At, Edit, check_edits
from audit_env.runtime.lenses import TunedLens
from audit_env.runtime.local import Casting
from audit_env.runtime.rendering import Forced, Renderer
from audit_env.runtime.request import Generated
from audit_env.runtime.sampling import Sampling, answer_key
from audit_env.runtime.spans import Placed
from audit_env.runtime.subject import (
    SIDES,
    Capability,
    Conversation,
    Dose,
    Floats,
    LoraFactors,
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
from audit_env.runtime.vllm import replies
from audit_env.runtime.vllm.base import Adapter, VllmBase
from audit_env.runtime.vllm.client import Refused
from audit_env.runtime.vllm.lens import edit_fields, residual_stream, with_residuals
from audit_env.runtime.vllm.weights import normed, read_factors

COMPLETIONS = "/v1/completions"

_SEED_MASK = 2**63 - 1
_ALWAYS: frozenset[Capability] = frozenset(("generate", "complete", "tokens", "score", "sides"))
_NEUTRAL = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
"""Against defaults that a server may take from the model's generation_config.json."""


class Asked(NamedTuple):
    """One answer to generate, and all that it follows from."""

    model: str
    prompt: tuple[int, ...]
    sampling: Sampling
    limit: int


class Drawn(NamedTuple):
    """How answers are drawn."""

    temperature: float
    top_p: float
    max_tokens: int
    seed: int


class VllmSubject(Subject):
    """A causal language model on a vLLM server."""

    engine = "vllm"

    def __init__(self, alias: str, base: VllmBase, sides: Mapping[Side, Casting[Adapter]]) -> None:
        """Make a handle.

        Args:
            alias: The name an auditor knows it by.
            base: The base, on its server.
            sides: What each side adds to the base; "target" and "base" at least.
        """
        sizes = base.sizes
        self.alias = alias
        self.n_layers, self.d_model, self.vocab_size = sizes.n_layers, sizes.d_model, sizes.vocab_size
        self.context_length = base.engine.context_length
        self._renderer = Renderer(base.chat, self.context_length)
        # The server reads a prompt only if there is room for a token after it.
        self._reader = Renderer(base.chat, self.context_length - 1)
        self._base, self._sides = base, dict(sides)
        gives: dict[Capability, bool] = {
            "sham": "sham" in sides,
            "weights": sizes.plain,
            "edits": base.engine.has_lens,
            "residuals": base.engine.has_lens and sizes.plain,
        }
        self.capabilities = _ALWAYS | {capability for capability, given in gives.items() if given}

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
        if amplify:
            self._lacks("amplify")
        casting, changes = self._casting(side), self._checked(edits)
        hidden, render = casting.hidden_system, self._renderer
        prompts = [render.prompt(turns, hidden, prefill=prefill, thinking=thinking) for turns in conversations]
        placed: list[Placed | None] = [None] * len(prompts)
        for number, turns in enumerate(conversations if changes else ()):
            limit = self._limit(prompts[number], max_tokens)
            spans = render.growing(turns, hidden, prompts[number], limit, thinking=thinking)
            placed[number] = spans.placed(changes)
        return await self._sampled(prompts, placed, side, n, Drawn(temperature, top_p, max_tokens, seed))

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
        prompts = [self._renderer.raw(text) for text in texts]
        return await self._sampled(prompts, [None] * len(prompts), side, n, Drawn(temperature, top_p, max_tokens, seed))

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
        hidden = self._casting(side).hidden_system
        prompts = [self._renderer.opening(turns, hidden, "user") for turns in conversations]
        return await self._sampled(prompts, [None] * len(prompts), side, n, Drawn(temperature, top_p, max_tokens, seed))

    async def score(
        self,
        conversations: Sequence[Conversation],
        answers: Sequence[str],
        *,
        side: Voice = "target",
        top_k: int = 0,
        edits: Sequence[Edit] = (),
    ) -> list[Scores]:
        """How likely one side finds given answers, as far as the likeliest tokens tell (see `Subject.score`)."""
        casting, changes = self._casting(side), self._checked(edits)
        check_top_k(top_k, self.vocab_size)

        async def one(forced: Forced) -> Scores:
            fields = {"prompt_logprobs": top_k, **self._edit_fields(forced)}
            reply = await self._log_probabilities(self._reading(casting, forced, fields), top_k)
            return replies.scores(reply, forced.said, top_k)

        forced = self._reader.forced(conversations, answers, casting.hidden_system, changes)
        return await tg_collect([partial(one, each) for each in forced])

    async def first_token(self, conversations: Sequence[Conversation], *, side: Voice = "target") -> Floats:
        """Log-probabilities of the first token of the answer (see `Subject.first_token`)."""
        casting = self._casting(side)

        async def one(forced: Forced) -> Floats:
            fields = {"logprobs": -1, "return_tokens_as_token_ids": True}
            reply = await self._log_probabilities(self._reading(casting, forced, fields), self.vocab_size)
            return replies.first_token(reply, self.vocab_size)

        forced = self._reader.forced(conversations, [""] * len(conversations), casting.hidden_system)
        found = await tg_collect([partial(one, each) for each in forced])
        return np.stack(found) if found else np.zeros((0, self.vocab_size), dtype=np.float32)

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
        """Residual stream of conversations, where the server has vllm-lens (see `Subject.residuals`)."""
        self._needs("residuals")
        casting, changes = self._casting(side), self._checked(edits)
        check_reading(layers, reduce, self.n_layers)

        async def one(forced: Forced, positions: range) -> Floats:
            stream = await self._stream(casting, forced, sorted({*layers} - {-1}))
            return np.stack([stream[layer] for layer in layers])[:, positions].swapaxes(0, 1)

        said = [""] * len(conversations) if answers is None else answers
        hidden = casting.hidden_system
        requests = []
        for turns, forced in zip(conversations, self._reader.forced(conversations, said, hidden, changes), strict=True):
            requests.append(partial(one, forced, self._reader.spans(turns, hidden, forced).positions(at)))
        found = await tg_collect(requests)
        vectors = np.concatenate([*found, np.zeros((0, len(layers), self.d_model), dtype=np.float32)])
        if reduce == "mean" and len(vectors):
            vectors = vectors.mean(axis=0, keepdims=True, dtype=np.float64).astype(np.float32)
        return Residuals(vectors, np.repeat(np.arange(len(found)), [len(one) for one in found]))

    async def unembed(self, vectors: Floats, *, normed: bool = True) -> Floats:
        """Read vectors of the residual stream as scores over the vocabulary (see `Subject.unembed`)."""
        self._needs("residuals")
        return await asyncio.to_thread(self._unembedded, stacked(vectors, self.d_model), normed)

    def lora(self, side: Voice = "target") -> Mapping[str, LoraFactors]:
        """The low-rank update of a side (see `Subject.lora`)."""
        self._needs("weights")
        adapter = self._casting(side).adapter
        return {} if adapter is None else read_factors(adapter.folder)

    def embedding(self) -> Floats:
        """The embedding of every token, `[vocab, d_model]`."""
        self._needs("weights")
        return self._base.embedding.copy()

    def unembedding(self) -> Floats:
        """The unembedding of every token, `[vocab, d_model]`."""
        self._needs("weights")
        return self._base.unembedding.copy()

    def final_norm(self) -> Floats:
        """The weight of the final norm, `[d_model]`."""
        self._needs("weights")
        return self._base.final_norm.copy()

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
        [forced] = self._reader.forced([conversation], [answer], None)
        return list(forced.ids)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens added."""
        return self._base.chat.encode(text)

    def _needs(self, capability: Capability) -> None:
        if capability not in self.capabilities:
            self._lacks(capability)

    def _casting(self, voice: Voice) -> Casting[Adapter]:
        if isinstance(voice, Dose):
            if voice.rank is not None or voice.scale not in (0, 1):
                self._lacks("doses")
            voice = voice.side if voice.scale else "base"
        if voice not in SIDES:
            raise ParameterError(f"side='{voice}': the sides are {', '.join(SIDES)}.")
        if voice not in self._sides:
            self._lacks("sham")
        return self._sides[voice]

    def _checked(self, edits: Sequence[Edit]) -> tuple[Edit, ...]:
        if edits:
            self._needs("edits")
        return check_edits(edits, n_layers=self.n_layers, d_model=self.d_model)

    def _model(self, casting: Casting[Adapter]) -> str:
        """What the server calls a side."""
        return self._base.engine.base if casting.adapter is None else casting.adapter.name

    def _limit(self, prompt: Prompt, max_tokens: int) -> int:
        """Tokens to generate at most after a prompt."""
        return min(max_tokens, self.context_length - len(prompt.ids))

    async def _sampled(
        self, prompts: Sequence[Prompt], placed: Sequence[Placed | None], side: Voice, n: int, drawn: Drawn
    ) -> list[list[Sample]]:
        """What one side says after each prompt, `n` times, each prompt under its edits."""
        model = self._model(self._casting(side))
        kept = side != "target" and not isinstance(side, Dose)
        times: Counter[tuple[int, ...]] = Counter()
        requests = []
        for prompt, edits in zip(prompts, placed, strict=True):
            limit = self._limit(prompt, drawn.max_tokens)
            for _ in range(n):
                key = answer_key(drawn.seed, prompt.ids, times[prompt.ids])
                asked = Asked(model, prompt.ids, Sampling(key, drawn.temperature, drawn.top_p), limit)
                fields = edit_fields(edits, len(prompt.ids), limit, whole=self._base.engine.reads_whole)
                requests.append(partial(self._answer, asked, fields, kept=kept and not fields))
                times[prompt.ids] += 1
        found = await tg_collect(requests)
        samples = [
            Sample(self._base.chat.read(answer.ids, prompt), answer.ids, answer.stop, len(prompt.ids))
            for prompt, answer in zip((prompt for prompt in prompts for _ in range(n)), found, strict=True)
        ]
        return [samples[start : start + n] for start in range(0, len(samples), n)]

    async def _answer(self, asked: Asked, fields: Mapping[str, Any], *, kept: bool) -> Generated:
        """Have an answer generated; one that is kept, where the very same was asked before, from memory."""

        async def compute() -> Generated:
            body = {
                "model": asked.model,
                "prompt": asked.prompt,
                "max_tokens": asked.limit,
                "temperature": asked.sampling.temperature,
                "top_p": asked.sampling.top_p,
                "seed": asked.sampling.key & _SEED_MASK,
                "stop_token_ids": sorted(self._base.sizes.end_tokens),
                "ignore_eos": True,  # the tokens above are all that end a turn
                "return_token_ids": True,
                **_NEUTRAL,
                **fields,
            }
            reply = await self._base.engine.client.ask("POST", COMPLETIONS, body)
            return replies.generated(reply, self._base.sizes.end_tokens)

        return await self._base.answers.get(asked, compute) if kept else await compute()

    def _edit_fields(self, forced: Forced) -> dict[str, Any]:
        return edit_fields(forced.edits, len(forced.ids), whole=self._base.engine.reads_whole)

    def _reading(self, casting: Casting[Adapter], forced: Forced, fields: Mapping[str, Any]) -> dict[str, Any]:
        """A request that has a conversation read."""
        asked = {"model": self._model(casting), "prompt": forced.ids, "max_tokens": 1, "temperature": 0.0}
        return {**asked, **_NEUTRAL, **fields}

    async def _log_probabilities(self, body: Mapping[str, Any], count: int) -> Any:
        try:
            return await self._base.engine.client.ask("POST", COMPLETIONS, body)
        except Refused as refusal:
            if "logprobs" in str(refusal):
                raise CapabilityError(
                    f"The vLLM server gives fewer log-probabilities at a position than the {count} that are needed: "
                    "ask for fewer, or start it with --max-logprobs -1."
                ) from refusal
            raise

    async def _stream(self, casting: Casting[Adapter], forced: Forced, layers: Sequence[int]) -> dict[int, Floats]:
        """The residual stream of one sequence after some layers and at the embedding, each `[positions, d_model]`."""
        stream = {-1: self._base.embedding[list(forced.ids)]}
        if layers:
            fields = with_residuals(self._edit_fields(forced), layers)
            reply = await self._base.engine.client.ask("POST", COMPLETIONS, self._reading(casting, forced, fields))
            stream |= dict(zip(layers, residual_stream(reply, len(layers), len(forced.ids)), strict=True))
        return stream

    def _unembedded(self, vectors: Floats, with_norm: bool) -> Floats:
        if with_norm:
            vectors = normed(vectors, self._base.final_norm, self._base.sizes.norm_eps)
        found: Floats = vectors @ self._base.unembedding.T
        return found
