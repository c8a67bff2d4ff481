"""A Subject on any Inspect model: a target that is told what to be by a hidden system prompt.

The model is a black box. What it has read besides the auditor's words is the truth of the game, so a call of it leaves
no trace where an auditor, or whoever watches one, could read it:

- Its events go to a transcript that is thrown away. What the log shows of an answer is the call of `organism/<alias>`
  around it: the messages as the auditor sent them.
- Its errors are told in our own words, and only where they do not quote the prompt.
- Its thinking is dropped. A model that is told to hide something thinks about what it is told.

Tokens are counted once, by Inspect and under the model's own name, so that they have their true price.
"""

import hashlib
import json
import math
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from inspect_ai._util._async import tg_collect
from inspect_ai.log._transcript import Transcript, _transcript
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    GenerateConfig,
    Model,
    ModelOutput,
    get_model,
    model_roles,
)
from inspect_ai.util import LimitExceededError, display_type, suspend_turn_limit

from audit_env.catalog.models import ANY_MODEL
from audit_env.errors import CapabilityError, ParameterError, PlayError
from audit_env.runtime import cast
from audit_env.runtime.edits import Edit
from audit_env.runtime.subject import (
    SIDES,
    Capability,
    Conversation,
    Dose,
    Sample,
    Side,
    Subject,
    Voice,
    check_sampling,
    messages_of,
)
from audit_env.words import runs

ROLE = "organism"
"""The model role whose model plays every organism that any model can play."""

PREFILLS = ("anthropic", "mockllm", "organism", "sagemaker", "sglang", "vllm")
"""Inspect's providers that go on from a trailing assistant message. Others answer it, or refuse."""

QUOTE = 4
"""Words of the hidden prompt in a row that make a text quote it."""

_LONGEST_COMPLAINT = 300
_MESSAGES = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}


def player(plays: str) -> Model:
    """The model that plays an organism.

    Args:
        plays: What the organism's card says in `plays`.

    Returns:
        The model of this name, or the one that the run gives the role `organism`.

    Raises:
        PlayError: If the run gives the role to no model, or to an organism that itself needs one.
    """
    if plays != ANY_MODEL:
        return get_model(plays)
    if ROLE not in model_roles():
        raise PlayError(
            f"A prompted organism needs a model that plays it: name one with  --model-role {ROLE}=provider/model  "
            f"(for example --model-role {ROLE}=openai/gpt-5)."
        )
    model = get_model(role=ROLE)
    provider, _, name = str(model).partition("/")
    if provider == cast.PROVIDER and cast.plays(name) is not None:
        raise PlayError(f"--model-role {ROLE}={model} names an organism that itself needs a model; name a model.")
    return model


class ApiSubject(Subject):
    """An Inspect model as a target: a black box that answers."""

    engine = "api"
    metered = True

    n_layers = d_model = vocab_size = 0
    """Nobody outside knows them."""
    context_length = sys.maxsize
    """Not known either: the provider refuses what is too long."""

    def __init__(self, alias: str, plays: str, prompts: Mapping[Side, str | None]) -> None:
        """Make a handle. The model itself is looked up at every call, since roles are bound anew in every run.

        Args:
            alias: The name an auditor knows it by.
            plays: Who plays it: "any", or the name of an Inspect model.
            prompts: The hidden system prompt of each side, None for a side without; "target" and "base" at least.
        """
        self.alias = alias
        self.capabilities = frozenset[Capability](("generate", "sides", *(("sham",) if "sham" in prompts else ())))
        self._plays, self._prompts = plays, dict(prompts)

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
        """Answer conversations (see `Subject.generate`), without edits and amplification.

        Settings that the run gives the player itself (`--model-role "organism={model: ..., max_tokens: 512}"`) win over
        those of the call. The seed is passed on; whether the provider heeds it is the provider's affair.
        """
        check_sampling(n, temperature, top_p, max_tokens)
        if edits:
            self._lacks("edits")
        if amplify:
            self._lacks("amplify")
        hidden = self._hidden(side)
        model = player(self._plays)
        _check(model, hidden, prefill=prefill, thinking=thinking)
        asked: Counter[str] = Counter()
        requests = []
        for turns in conversations:
            messages = _chat(messages_of(turns, hidden), prefill)
            key = json.dumps([message.text for message in messages])
            for _ in range(n):
                config = GenerateConfig(
                    temperature=temperature,
                    # Some providers refuse the two together, even where one of them changes nothing.
                    top_p=None if top_p == 1.0 else top_p,
                    max_tokens=max_tokens,
                    seed=_seed(seed, asked[key]),
                ).merge(model.config)
                asked[key] += 1
                requests.append(partial(_ask, model, messages, config, hidden, after_prefill=bool(prefill)))
        samples = await tg_collect(requests)
        return [samples[start : start + n] for start in range(0, len(samples), n)]

    def _hidden(self, side: Voice) -> str | None:
        if isinstance(side, Dose):
            self._lacks("doses")
        if side not in SIDES:
            raise ParameterError(f"side='{side}': the sides are {', '.join(SIDES)}.")
        if side not in self._prompts:
            self._lacks("sham")
        return self._prompts[side]


@contextmanager
def unseen() -> Iterator[None]:
    """Keep the events of a block of code, log lines included, out of the transcript of the sample."""
    token = _transcript.set(Transcript())
    try:
        yield
    finally:
        _transcript.reset(token)


async def _ask(
    model: Model, messages: list[ChatMessage], config: GenerateConfig, hidden: str | None, *, after_prefill: bool
) -> Sample:
    try:
        # The call around this one has been counted as the turn that it is.
        with unseen(), suspend_turn_limit():
            output = await model.generate(messages, config=config)
    except LimitExceededError:
        raise
    except Exception as error:
        # Without its cause: the request, hidden prompt and all, would stand in the traceback.
        raise _failure(error, model, hidden) from None
    if not output.choices:
        raise PlayError(f"The model that plays the target, '{model}', gave no answer; try another model or settings.")
    return _sample(output, after_prefill=after_prefill)


def _sample(output: ModelOutput, *, after_prefill: bool) -> Sample:
    text = output.completion.rstrip() if after_prefill else output.completion.strip()
    usage = output.usage
    return Sample(
        text=text,
        ids=(),
        stop="length" if output.stop_reason in ("max_tokens", "model_length") else "stop",
        prompt_tokens=usage.input_tokens if usage else 0,
        # A provider that reports no usage is charged by the usual rule of four characters a token.
        billed_tokens=usage.output_tokens if usage else math.ceil(len(text) / 4),
    )


def _check(model: Model, hidden: str | None, *, prefill: str, thinking: bool) -> None:
    """Refuse what the model cannot do, or what would show the prompt."""
    if prefill and str(model).partition("/")[0] not in PREFILLS:
        raise CapabilityError(
            "The model behind this target cannot go on from a given beginning (prefill); "
            f"providers that can: {', '.join(PREFILLS)}."
        )
    if thinking:
        raise CapabilityError(
            "The engine 'api' leaves thinking to the model's own settings: give them with the role, "
            f"for example --model-role '{ROLE}={{model: provider/model, reasoning_effort: low}}'."
        )
    if hidden is not None and display_type() == "conversation":
        raise PlayError("--display conversation would print the hidden prompt in the terminal; choose another display.")


def _chat(messages: Sequence[Mapping[str, str]], prefill: str) -> list[ChatMessage]:
    chat: list[ChatMessage] = [_MESSAGES[message["role"]](content=message["content"]) for message in messages]
    return [*chat, ChatMessageAssistant(content=prefill)] if prefill else chat


def _seed(seed: int, number: int) -> int:
    """The seed of one of several answers to one prompt, 31 bits: providers take no more."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:4], "big") >> 1


def _failure(error: Exception, model: Model, hidden: str | None) -> PlayError:
    status = getattr(error, "status_code", None)
    said = str(getattr(error, "provider_message", None) or error)
    if hidden is not None and not runs(said, QUOTE).isdisjoint(runs(hidden, QUOTE)):
        said = "its message is withheld, because it quotes the hidden prompt"
    return PlayError(
        f"The model that plays the target, '{model}', failed ({type(error).__name__}"
        f"{f', status {status}' if status else ''}): {said[:_LONGEST_COMPLAINT]}"
    )
