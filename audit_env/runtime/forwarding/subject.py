"""A Subject whose answers are computed in another process."""

import asyncio
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any

from audit_env.runtime.dictionaries import Dictionary
from audit_env.runtime.forwarding.messages import Facts
from audit_env.runtime.forwarding.process import EngineProcess
from audit_env.runtime.lenses import TunedLens
from audit_env.runtime.perturbation import Perturbation
from audit_env.runtime.subject import (
    Contrast,
    Conversation,
    Floats,
    LoraFactors,
    Residuals,
    Sample,
    Scores,
    Subject,
    Voice,
    messages_of,
)


class ForwardingSubject(Subject):
    """Passes on every call, conversations as plain turns. What is the same for all of a base is asked for once."""

    def __init__(self, process: EngineProcess, facts: Facts, shared: dict[str, Any]) -> None:
        """Make a handle.

        Args:
            process: Where it is computed.
            facts: What it is there.
            shared: What is the same for all of its base, by the method that gives it, as far as one has asked.
        """
        self.alias, self.engine, self.capabilities = facts.alias, facts.engine, facts.capabilities
        self.n_layers, self.d_model = facts.n_layers, facts.d_model
        self.vocab_size, self.context_length = facts.vocab_size, facts.context_length
        self._process, self._number, self._shared = process, facts.number, shared
        weakref.finalize(self, process.forget, facts.number).atexit = False

    async def generate(
        self, conversations: Sequence[Conversation], *, side: Voice = "target", **how: Any
    ) -> list[list[Sample]]:
        """Answer conversations (see `Subject.generate`)."""
        found: list[list[Sample]] = await self._asked("generate", _plain(conversations), side=side, **how)
        return found

    async def complete(self, texts: Sequence[str], *, side: Voice = "target", **how: Any) -> list[list[Sample]]:
        """Go on from raw texts (see `Subject.complete`)."""
        found: list[list[Sample]] = await self._asked("complete", list(texts), side=side, **how)
        return found

    async def user_turns(
        self, conversations: Sequence[Conversation], *, side: Voice = "target", **how: Any
    ) -> list[list[Sample]]:
        """Have the model write what the user says next (see `Subject.user_turns`)."""
        found: list[list[Sample]] = await self._asked("user_turns", _plain(conversations), side=side, **how)
        return found

    async def score(
        self, conversations: Sequence[Conversation], answers: Sequence[str], *, side: Voice = "target", **how: Any
    ) -> list[Scores]:
        """How likely one side finds given answers (see `Subject.score`)."""
        found: list[Scores] = await self._asked("score", _plain(conversations), list(answers), side=side, **how)
        return found

    async def contrast(
        self, conversations: Sequence[Conversation], answers: Sequence[str], *, side: Voice = "target", **how: Any
    ) -> list[Contrast]:
        """How two sides differ on given answers (see `Subject.contrast`)."""
        found: list[Contrast] = await self._asked("contrast", _plain(conversations), list(answers), side=side, **how)
        return found

    async def first_token(self, conversations: Sequence[Conversation], *, side: Voice = "target") -> Floats:
        """Log-probabilities of the first token of the answer (see `Subject.first_token`)."""
        found: Floats = await self._asked("first_token", _plain(conversations), side=side)
        return found

    async def residuals(
        self,
        conversations: Sequence[Conversation],
        answers: Sequence[str] | None = None,
        *,
        side: Voice = "target",
        **how: Any,
    ) -> Residuals:
        """Residual stream of conversations (see `Subject.residuals`)."""
        said = None if answers is None else list(answers)
        found: Residuals = await self._asked("residuals", _plain(conversations), said, side=side, **how)
        return found

    async def attention(self, conversations: Sequence[Conversation], *, side: Voice = "target") -> list[Floats]:
        """How much every head looks at each token of the prompt (see `Subject.attention`)."""
        found: list[Floats] = await self._asked("attention", _plain(conversations), side=side)
        return found

    async def gradients(
        self, conversations: Sequence[Conversation], answers: Sequence[str], *, side: Voice = "target", **how: Any
    ) -> list[Floats]:
        """How an objective changes with the embeddings of the tokens before answers (see `Subject.gradients`)."""
        found: list[Floats] = await self._asked("gradients", _plain(conversations), list(answers), side=side, **how)
        return found

    async def unembed(self, vectors: Floats, *, normed: bool = True) -> Floats:
        """Read vectors of the residual stream as scores over the vocabulary (see `Subject.unembed`)."""
        found: Floats = await self._asked("unembed", vectors, normed=normed)
        return found

    @asynccontextmanager
    async def perturbed(self, how: Perturbation) -> AsyncIterator[Subject]:
        """The same subject with perturbed weights (see `Subject.perturbed`)."""
        opening = self._process.call(None, "perturb", self._number, how)
        try:
            facts: Facts = await asyncio.wrap_future(opening)
        except asyncio.CancelledError:
            # It may have been opened, or be in this very moment, and this loop not have heard of it yet.
            opening.add_done_callback(self._forget_opened)
            raise
        try:
            yield ForwardingSubject(self._process, facts, shared={})
        finally:
            # Nobody waits for its end: whoever is cancelled could not.
            self._process.forget(facts.number)

    def lora(self, side: Voice = "target") -> Mapping[str, LoraFactors]:
        """The low-rank update of a side (see `Subject.lora`)."""
        found: Mapping[str, LoraFactors] = self._told("lora", side)
        return found

    def embedding(self) -> Floats:
        """The embedding of every token, `[vocab, d_model]`."""
        found: Floats = self._once("embedding")
        return found

    def unembedding(self) -> Floats:
        """The unembedding of every token, `[vocab, d_model]`."""
        found: Floats = self._once("unembedding")
        return found

    def final_norm(self) -> Floats:
        """The weight of the final norm, `[d_model]`."""
        found: Floats = self._once("final_norm")
        return found

    def dictionaries(self) -> Sequence[Dictionary]:
        """Sparse dictionaries of the base's residual stream (see `Subject.dictionaries`)."""
        found: Sequence[Dictionary] = self._once("dictionaries")
        return found

    def tuned_lens(self) -> TunedLens | None:
        """The base's tuned lens (see `Subject.tuned_lens`)."""
        found: TunedLens | None = self._once("tuned_lens")
        return found

    def tokens(self) -> list[str]:
        """Every entry of the vocabulary as a reader would see it."""
        return list(self._once("tokens"))

    def rendered(self, conversation: Conversation, answer: str = "") -> list[int]:
        """Token ids of a conversation as the model reads it (see `Subject.rendered`)."""
        found: list[int] = self._told("rendered", messages_of(conversation), answer)
        return found

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens added."""
        found: list[int] = self._told("encode", text)
        return found

    def _forget_opened(self, opened: "Future[Facts]") -> None:
        if not opened.cancelled() and opened.exception() is None:
            self._process.forget(opened.result().number)

    async def _asked(self, method: str, *arguments: Any, **options: Any) -> Any:
        return await asyncio.wrap_future(self._process.call(self._number, method, *arguments, **options))

    def _told(self, method: str, *arguments: Any) -> Any:
        """What a method gives that takes no time to speak of: the caller waits for it."""
        return self._process.call(self._number, method, *arguments).result()

    def _once(self, method: str) -> Any:
        if method not in self._shared:
            self._shared[method] = self._told(method)
        return self._shared[method]


def _plain(conversations: Sequence[Conversation]) -> list[list[dict[str, str]]]:
    return [messages_of(conversation) for conversation in conversations]
