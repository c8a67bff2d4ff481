"""A Subject some of whose answers nobody hears: where one would leak, another stands in its place.

A notice ("withheld") would itself tell, since it would come from some subjects more often than from others. So what
stands in the place of an answer is an answer: the side's own next one that does not leak, under seeds that follow from
the call's, and where none of `REDRAWS` will do, the base's. It looks, counts and repeats like any other answer.

Every side is heard so, the base too. Otherwise a base that now and then says such a thing by chance would differ from
a subject whose answers were all looked through.
"""

import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from inspect_ai._util._async import tg_collect

from audit_env.runtime.perturbation import Perturbation
from audit_env.runtime.subject import Conversation, Dose, Sample, Subject, Voice, messages_of

REDRAWS = 8
"""Answers that a side draws in the place of one before the base answers for it, which then draws as many."""

READINGS = (
    "attention",
    "close",
    "contrast",
    "dictionaries",
    "embedding",
    "encode",
    "final_norm",
    "first_token",
    "gradients",
    "lora",
    "rendered",
    "residuals",
    "score",
    "tokens",
    "tuned_lens",
    "unembed",
    "unembedding",
)
"""What is passed on as it is, since it gives no text that the subject wrote. Whatever a `Subject` may do and neither
this nor the class below names is refused, so that nothing new gets past by being forgotten."""

Messages = Sequence[Mapping[str, str]]


class Redaction(Protocol):
    """What is not to be heard. It must not depend on whose answer it is."""

    def leaks(self, turns: Messages, prefill: str, answer: str) -> bool:
        """Whether an answer leaks.

        Args:
            turns: The conversation before it, without hidden prompts.
            prefill: Its beginning, where the caller gave one.
            answer: What was said after that.
        """
        ...

    def note(self, alias: str, *, by_base: bool) -> None:
        """Take note that something stands in the place of an answer.

        Args:
            alias: Whose answer it was.
            by_base: Whether the base gave what stands there.
        """
        ...


class RedactedSubject(Subject):
    """A subject as it is heard under a redaction. Weights, activations and likelihoods are its own."""

    def __init__(self, subject: Subject, redaction: Redaction) -> None:
        """Put a redaction before a subject.

        Args:
            subject: The subject.
            redaction: What is not to be heard of it.
        """
        self._subject, self._redaction = subject, redaction
        self.alias, self.capabilities = subject.alias, subject.capabilities
        self.n_layers, self.d_model = subject.n_layers, subject.d_model
        self.vocab_size, self.context_length = subject.vocab_size, subject.context_length
        self.engine, self.metered = subject.engine, subject.metered

    async def generate(
        self,
        conversations: Sequence[Conversation],
        *,
        side: Voice = "target",
        prefill: str = "",
        n: int = 1,
        temperature: float = 1.0,
        seed: int = 0,
        **how: Any,
    ) -> list[list[Sample]]:
        """Answer conversations (see `Subject.generate`)."""
        asked = [messages_of(turns) for turns in conversations]
        draw = partial(self._subject.generate, prefill=prefill, **how)
        return await self._drawn(draw, conversations, [(turns, prefill) for turns in asked], side, n, temperature, seed)

    async def complete(
        self,
        texts: Sequence[str],
        *,
        side: Voice = "target",
        n: int = 1,
        temperature: float = 1.0,
        seed: int = 0,
        **how: Any,
    ) -> list[list[Sample]]:
        """Go on from raw texts (see `Subject.complete`)."""
        # A text that is gone on from steers as a system prompt does.
        asked = [([{"role": "system", "content": text}], "") for text in texts]
        draw = partial(self._subject.complete, **how)
        return await self._drawn(draw, texts, asked, side, n, temperature, seed)

    async def user_turns(
        self,
        conversations: Sequence[Conversation],
        *,
        side: Voice = "target",
        n: int = 1,
        temperature: float = 1.0,
        seed: int = 0,
        **how: Any,
    ) -> list[list[Sample]]:
        """Have the model write what the user says next (see `Subject.user_turns`)."""
        asked = [(messages_of(turns), "") for turns in conversations]
        draw = partial(self._subject.user_turns, **how)
        return await self._drawn(draw, conversations, asked, side, n, temperature, seed)

    @asynccontextmanager
    async def perturbed(self, how: Perturbation) -> AsyncIterator[Subject]:
        """The same subject with perturbed weights (see `Subject.perturbed`)."""
        async with self._subject.perturbed(how) as noisy:
            yield RedactedSubject(noisy, self._redaction)

    async def _drawn(
        self,
        draw: Callable[..., Awaitable[list[list[Sample]]]],
        said: Sequence[Any],
        asked: Sequence[tuple[Messages, str]],
        side: Voice,
        n: int,
        temperature: float,
        seed: int,
    ) -> list[list[Sample]]:
        """What is heard after each thing that was `said`, which the redaction reads as `asked`."""
        drawn = await draw(said, side=side, n=n, temperature=temperature, seed=seed)
        before, places, again = Counter[str](), list[tuple[int, int]](), list[Callable[[], Awaitable[Sample]]]()
        for place, (what, samples) in enumerate(zip(asked, drawn, strict=True)):
            # As if a conversation that occurs twice had been asked with a larger n.
            key = json.dumps(what)
            for number, sample in enumerate(samples):
                if self._leaks(what, sample):
                    places.append((place, number))
                    # Greedily a side would say the same again.
                    another = partial(draw, [said[place]], n=1, temperature=temperature or 1.0)
                    again.append(partial(self._another, another, what, sample, side, f"{seed}:{before[key] + number}"))
            before[key] += n
        heard = [list(samples) for samples in drawn]
        for (place, number), sample in zip(places, await tg_collect(again), strict=True):
            heard[place][number] = sample
        return heard

    async def _another(
        self,
        draw: Callable[..., Awaitable[list[list[Sample]]]],
        what: tuple[Messages, str],
        leaking: Sample,
        side: Voice,
        seeded: str,
    ) -> Sample:
        """What stands in the place of an answer that leaks."""
        for attempt in range(2 * REDRAWS):
            voice = side if attempt < REDRAWS else "base"
            [[sample]] = await draw(side=voice, seed=_seed(f"{seeded}:{attempt}"))
            if not self._leaks(what, sample):
                break
        if (side.side if isinstance(side, Dose) else side) == "target":
            self._redaction.note(self.alias, by_base=attempt >= REDRAWS)
        # The base reads no hidden prompt, whose length would tell who answered.
        return replace(sample, prompt_tokens=leaking.prompt_tokens)

    def _leaks(self, what: tuple[Messages, str], sample: Sample) -> bool:
        turns, prefill = what
        return self._redaction.leaks(turns, prefill, sample.text)


def _passed_on(name: str) -> Callable[..., Any]:
    def passed_on(self: RedactedSubject, *arguments: Any, **options: Any) -> Any:
        return getattr(self._subject, name)(*arguments, **options)

    return passed_on


for _name in READINGS:
    setattr(RedactedSubject, _name, _passed_on(_name))


def _seed(text: str) -> int:
    """A seed of 31 bits: providers take no more."""
    return int.from_bytes(hashlib.sha256(f"redacted:{text}".encode()).digest()[:4], "big") >> 1
