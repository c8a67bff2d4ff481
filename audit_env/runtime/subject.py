"""The Subject: a model under audit, as every tool, task and session meets it.

Data in, reduced data out. One face over every engine:

- The **side** is an argument of every call and never a state. (With PEFT's global adapter switch, 476 of 476 forwards
  came back wrong while another thread used `disable_adapter()`.)
- **Positions** are named ("the assistant header", "the answer"), never tensor indices that padding could shift.
- **Reductions** (KL, means, log-probabilities of the answer's tokens) run where the tensors are; no
  `[batch, time, vocab]` array crosses this face.
- **Edits** of the residual stream are plain data (see `edits`), arguments of a call like the side. An edited
  computation reads nothing that was kept of others and leaves nothing for them.
- What an engine cannot give is missing from its `capabilities`, and asking for it is a `CapabilityError` that names the
  engine and those that can.
- The handle holds no card, no organism id and no path that a caller could read; its `repr` shows the alias.

A new engine subclasses `Subject`, sets `engine` and `capabilities`, and overrides what it can do; everything else keeps
raising `CapabilityError`. Add the engine to `GIVERS` under each capability it has.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal, NoReturn, Protocol

import numpy as np
import numpy.typing as npt

from audit_env.errors import CapabilityError, ParameterError
from audit_env.runtime.dictionaries import Dictionary
from audit_env.runtime.edits import BEFORE_ANSWER, At, Edit, check_layer
from audit_env.runtime.lenses import TunedLens
from audit_env.runtime.perturbation import Perturbation

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

Side = Literal["target", "base", "sham"]
"""Whose answer is asked for: the organism, the model it was made from, or the same recipe without a quirk."""

SIDES: tuple[Side, ...] = ("target", "base", "sham")


@dataclass(frozen=True)
class Dose:
    """A side with more or less of what it adds to the base. `Dose()` is the side, `Dose(scale=0)` is the base."""

    side: Literal["target", "sham"] = "target"
    scale: float = 1.0
    """What the side's adapter is multiplied by."""
    rank: int | None = None
    """How many of the largest singular directions are left of each of the adapter's updates; None for all."""

    def __post_init__(self) -> None:
        if self.side not in ("target", "sham"):
            raise ParameterError(f"Dose.side='{self.side}': the sides that add something are target and sham.")
        if not math.isfinite(self.scale):
            raise ParameterError(f"Dose.scale={self.scale}: it must be a finite number.")
        if self.rank is not None and self.rank < 1:
            raise ParameterError(f"Dose.rank={self.rank}: it must be 1 or more, or None for all.")


LIFT = 1e-3
"""Nats below which a token does not count as lifted: what rounding may do."""

Voice = Side | Dose
"""Whose answer is asked for, and how much of it."""

Capability = Literal[
    "generate",
    "complete",
    "tokens",
    "score",
    "contrast",
    "residuals",
    "attention",
    "edits",
    "gradients",
    "weights",
    "sides",
    "sham",
    "doses",
    "amplify",
    "perturbed",
]
"""What an engine may give.

generate: answers. complete: `complete`, `user_turns`. tokens: `tokens`, `encode`. score: `score`, `first_token`.
contrast: `contrast`. residuals: `residuals`, `unembed`. attention: `attention`. edits: every call that takes edits.
gradients: `gradients`. weights: `lora`, `embedding`, `unembedding`, `final_norm`. sides: every call takes side="base".
sham: every call takes side="sham". doses: every call takes a `Dose` for a side. amplify: `generate` takes `amplify`.
perturbed: `perturbed`.
"""

GIVERS: Mapping[Capability, tuple[str, ...]] = {
    "generate": ("small", "hf", "vllm", "api"),
    "complete": ("small", "hf", "vllm"),
    "tokens": ("small", "hf", "vllm"),
    "score": ("small", "hf", "vllm"),
    "contrast": ("small", "hf"),
    "residuals": ("small", "hf", "vllm (on a server with vllm-lens)"),
    "edits": ("small", "hf", "vllm (on a server with vllm-lens)"),
    "attention": ("small", "hf"),
    "gradients": ("small", "hf"),
    "weights": ("small", "hf", "vllm"),
    "sides": ("small", "hf", "vllm", "api"),
    "sham": ("small, hf, vllm and api (when the game set names a reference sham)",),
    "doses": ("small", "hf"),
    "amplify": ("small", "hf"),
    "perturbed": ("small",),
}
"""The engines that give each capability."""

Objective = Literal["answer_logprob", "kl_to_base"]
"""What gradients are taken of.

answer_logprob: the sum of the log-probabilities of the answer's tokens. kl_to_base: the mean over the answer's tokens
of KL(side || base), in nats.
"""


class Turn(Protocol):
    """One turn of a conversation: anything with a role and a content."""

    @property
    def role(self) -> str:
        """Who speaks: "system", "user" or "assistant"."""
        ...

    @property
    def content(self) -> str:
        """What is said."""
        ...


TurnLike = Turn | Mapping[str, str]
"""A turn as an object or as `{"role": ..., "content": ...}`."""

Conversation = Sequence[TurnLike]


def messages_of(conversation: Conversation, hidden_system: str | None = None) -> list[dict[str, str]]:
    """A conversation as chat templates take it.

    Args:
        conversation: Its turns.
        hidden_system: A system prompt that goes before everything else. Joined with the conversation's own system turn,
            since templates may allow but one.

    Returns:
        One dictionary with "role" and "content" per turn.

    Raises:
        ParameterError: If a role does not exist.
    """
    messages = [
        {"role": turn["role"], "content": turn["content"]}
        if isinstance(turn, Mapping)
        else {"role": turn.role, "content": turn.content}
        for turn in conversation
    ]
    for message in messages:
        if message["role"] not in ("system", "user", "assistant"):
            raise ParameterError(f"role='{message['role']}': the roles of a turn are system, user and assistant.")
    if hidden_system is None:
        return messages
    if messages and messages[0]["role"] == "system":
        return [{"role": "system", "content": f"{hidden_system}\n\n{messages[0]['content']}"}, *messages[1:]]
    return [{"role": "system", "content": hidden_system}, *messages]


@dataclass(frozen=True)
class Sample:
    """One generated answer."""

    text: str
    """The answer without special tokens, except that a thinking block keeps its `<think>` and `</think>`.

    White space around it is dropped; after a prefill, leading white space stays, so that `prefill + text` reads on.
    """
    ids: tuple[int, ...]
    """Token ids as generated, without the end-of-turn token. Empty where an engine does not tell them."""
    stop: Literal["stop", "length"]
    """Whether the model ended its turn or ran into `max_tokens` or the end of its context."""
    prompt_tokens: int
    """Tokens of the rendered conversation and prefill."""
    billed_tokens: int | None = None
    """Tokens that were generated, thinking included, where an engine tells their number and not the tokens."""

    @property
    def generated_tokens(self) -> int:
        """Tokens that were generated, the end-of-turn token included."""
        return len(self.ids) + (self.stop == "stop") if self.billed_tokens is None else self.billed_tokens


@dataclass(frozen=True)
class Scores:
    """How likely one side finds a given answer (teacher-forced), token by token."""

    logprobs: Floats
    """Of each token of the answer, nats, `[answer_tokens]`."""
    entropy: Floats
    """Of the distribution that each token was drawn from, over the whole vocabulary, nats, `[answer_tokens]`.

    NaN where the engine sees the likeliest tokens alone.
    """
    top_ids: Ints
    """The likeliest tokens, likeliest first, `[answer_tokens, top_k]`."""
    top_logprobs: Floats
    """Theirs, nats, `[answer_tokens, top_k]`."""
    tail: Floats
    """Probability of all other tokens, `[answer_tokens]`; 1 where no likeliest tokens were asked for."""
    exact: bool
    """Whether the engine saw the whole vocabulary. A KL made of scores that are not exact has a lower resolution."""


@dataclass(frozen=True)
class Residuals:
    """The residual stream at some layers and positions."""

    vectors: Floats
    """`[n, layers, d_model]`, in the order of the conversations and of their positions; their mean, where that was
    asked for, `[1, layers, d_model]`."""
    owner: Ints
    """Number of the conversation that each position belongs to, `[n]`; with a mean, of each position in it."""


@dataclass(frozen=True)
class Contrast:
    """How two sides differ on one given answer (teacher-forced)."""

    kl: float
    """Mean over the answer's tokens of KL(side || other) over the whole vocabulary, in nats. 0 for an empty answer."""
    gained: Floats
    """Probability mass that moved to each token: sum over the answer's tokens of p_side - p_other. `[vocab]`"""
    contribution: Floats
    """Each token's share of the KL: sum over the answer's tokens of p_side (log p_side - log p_other). `[vocab]`"""
    lifted: Ints
    """At how many of the answer's tokens each token is among the `top_k` of which log p_side - log p_other is largest,
    by `LIFT` at least. `[vocab]`, zeros where `top_k` is 0."""
    tokens: int
    """Number of answer tokens."""


@dataclass(frozen=True)
class LoraFactors:
    """A low-rank update of one linear map: W + scale * b @ a."""

    a: Floats
    """`[rank, in]`"""
    b: Floats
    """`[out, rank]`"""
    scale: float


def check_sampling(n: int, temperature: float, top_p: float, max_tokens: int) -> None:
    """Refuse settings under which no answer can be sampled.

    Args:
        n: Answers per conversation.
        temperature: Of the sampling.
        top_p: Mass of the nucleus.
        max_tokens: Longest answer.

    Raises:
        ParameterError: If one of them makes no sense.
    """
    for name, value, valid, want in (
        ("n", n, n >= 1, "1 or more"),
        ("temperature", temperature, temperature >= 0, "0 or more"),
        ("top_p", top_p, 0 < top_p <= 1, "above 0 and at most 1"),
        ("max_tokens", max_tokens, max_tokens >= 1, "1 or more"),
    ):
        if not valid:
            raise ParameterError(f"{name}={value}: it must be {want}.")


def check_top_k(top_k: int, vocab_size: int) -> None:
    """Refuse a number of likeliest tokens that there cannot be.

    Args:
        top_k: How many are asked for.
        vocab_size: How many tokens there are.

    Raises:
        ParameterError: If it lies outside.
    """
    if not 0 <= top_k <= vocab_size:
        raise ParameterError(f"top_k={top_k}: it must lie between 0 and the {vocab_size} tokens there are.")


def check_reading(layers: Sequence[int], reduce: str, n_layers: int) -> None:
    """Refuse residuals of layers that do not exist, of none, or reduced in an unknown way.

    Args:
        layers: Blocks after which the residual is read.
        reduce: What is done to the positions.
        n_layers: How many blocks there are.

    Raises:
        ParameterError: If one of them makes no sense.
    """
    if not layers:
        raise ParameterError("layers is empty: name one layer or more.")
    for layer in layers:
        check_layer(layer, n_layers, "layers")
    if reduce not in ("none", "mean"):
        raise ParameterError(f"reduce='{reduce}': choose one of none, mean.")


def stacked(vectors: Floats, d_model: int) -> Floats:
    """Vectors of the residual stream as rows.

    Args:
        vectors: `[n, d_model]`, or `[d_model]` for a single one.
        d_model: Width of the residual stream.

    Returns:
        `[n, d_model]`, fp32.

    Raises:
        ParameterError: If they are of another width.
    """
    rows = np.atleast_2d(np.asarray(vectors, dtype=np.float32))
    if rows.shape[1] != d_model:
        raise ParameterError(f"Vectors of {rows.shape[1]} numbers were given; the residual stream has {d_model}.")
    return rows


class ContextOverflow(ParameterError):
    """A conversation leaves no room for an answer in the model's context."""

    def __init__(self, tokens: int, context: int) -> None:
        super().__init__(
            f"The conversation is {tokens} tokens long and the model reads at most {context}, answer included: "
            "start a new conversation or shorten it."
        )


class Subject(ABC):
    """A model under audit. See the module's text for the rules that every engine keeps."""

    engine: str
    """Name of the engine, for error texts and logs."""
    metered: bool = False
    """Whether Inspect counts this engine's tokens by itself, under the name of the model that the engine calls."""

    alias: str
    """The opaque name under which an auditor knows this subject."""
    capabilities: frozenset[Capability]
    """What this subject can be asked for."""
    n_layers: int
    d_model: int
    vocab_size: int
    context_length: int
    """Tokens that the model reads at most, answer included."""

    def __repr__(self) -> str:
        return f"<Subject {self.alias}>"

    @abstractmethod
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
        """Answer conversations.

        The randomness of an answer depends on the seed, the rendered prompt and the answer's number, and on nothing
        else: not on the batch, the side, the edits or the amplification. So equal seeds pair the sides, and different
        prompts are independent.
        A conversation that occurs twice in one call gets different answers, as if it had been asked with a larger `n`.

        Args:
            conversations: Each begins with an optional system turn and ends with a user turn.
            side: Whose answers.
            prefill: Beginning of the answer, put after the assistant header. Not repeated in the samples.
            n: Answers per conversation.
            temperature: 0 for greedy decoding.
            top_p: Mass of the nucleus to sample from.
            max_tokens: Tokens to generate at most.
            seed: Seed of the answers.
            thinking: Ask the chat template for its thinking mode (`enable_thinking`).
            edits: What is done to the residual stream while the prompt is read and the answer generated. The last
                token of the answer is not known then, so positions of the answer count from its beginning.
            amplify: How much louder the side says what it adds to the base: tokens are drawn from
                `log p + amplify * (log p - log p_base)`, of those that the side itself gives at least a thousandth of
                its likeliest one's probability. 0 for the side as it is.

        Returns:
            Per conversation, its `n` samples.

        Raises:
            ContextOverflow: If a conversation fills the context.
            ParameterError: If an edit does not fit the model, or names a token that is not there; if an amplification
                goes with edits or a nucleus.
        """

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
        """Go on from raw texts: no chat template, no system prompt, exactly one BOS.

        Seeds pair the sides as in `generate`.

        Args:
            texts: What is gone on from. Marks of turns in them (`<|user|>`) are what they are to the tokenizer.
            side: Who goes on.
            n: Continuations per text.
            temperature: 0 for greedy decoding.
            top_p: Mass of the nucleus to sample from.
            max_tokens: Tokens to generate at most.
            seed: Seed of the continuations.

        Returns:
            Per text, its `n` samples; their leading white space stays, so that `text + sample.text` reads on.

        Raises:
            ContextOverflow: If a text fills the context.
        """
        self._lacks("complete")

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
        """Have the model write what the user says next: conversations, and the template's user header after them.

        Args:
            conversations: What came before; an empty one for the very first turn. None ends with a user turn.
            side: Who writes.
            n: Turns per conversation.
            temperature: 0 for greedy decoding.
            top_p: Mass of the nucleus to sample from.
            max_tokens: Tokens to generate at most.
            seed: Seed of the turns.

        Returns:
            Per conversation, its `n` samples.

        Raises:
            ContextOverflow: If a conversation fills the context.
        """
        self._lacks("complete")

    async def score(
        self,
        conversations: Sequence[Conversation],
        answers: Sequence[str],
        *,
        side: Voice = "target",
        top_k: int = 0,
        edits: Sequence[Edit] = (),
    ) -> list[Scores]:
        """How likely one side finds given answers, one answer per conversation.

        Args:
            conversations: What came before each answer.
            answers: Rendered by the chat template as the assistant's turn; the end-of-turn token is not scored.
            side: Whose probabilities.
            top_k: How many of the likeliest tokens to name at each position.
            edits: What is done to the residual stream.

        Returns:
            Scores of each answer.
        """
        self._lacks("score")

    async def contrast(
        self,
        conversations: Sequence[Conversation],
        answers: Sequence[str],
        *,
        side: Voice = "target",
        other: Voice = "base",
        top_k: int = 0,
    ) -> list[Contrast]:
        """How two sides differ on given answers (usually the target's own), exact over the whole vocabulary.

        Args:
            conversations: What came before each answer.
            answers: One per conversation, teacher-forced through both sides.
            side: The side that `gained` and KL(side || other) speak of.
            other: The side it is compared with.
            top_k: Of how many tokens to count at each position that the side lifts them most.

        Returns:
            One contrast per conversation.
        """
        self._lacks("contrast")

    async def first_token(self, conversations: Sequence[Conversation], *, side: Voice = "target") -> Floats:
        """Log-probabilities of the first token of the answer.

        Args:
            conversations: What the answer follows.
            side: Whose probabilities.

        Returns:
            Nats, `[conversation, vocab]`.
        """
        self._lacks("score")

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
        """Residual stream of conversations; by default at the last token of the prompt.

        Args:
            conversations: What is read.
            answers: What the assistant says after each; None for nothing.
            side: Whose activations.
            layers: Blocks after which the residual is read, 0 to `n_layers - 1`; -1 reads the embedding. It is always
                the residual *before* the final norm (in `transformers`, `hidden_states[-1]` is already normed), and
                after the edits of that layer.
            at: Which positions of each conversation.
            reduce: "mean" for the mean over all positions of all conversations.
            edits: What is done to the residual stream.

        Returns:
            The vectors, and whose they are.

        Raises:
            ParameterError: If a layer or a position does not exist.
        """
        self._lacks("residuals")

    async def attention(self, conversations: Sequence[Conversation], *, side: Voice = "target") -> list[Floats]:
        """How much every head looks at each token of the prompt from its last position, where the answer is decided.

        Args:
            conversations: What is read.
            side: Whose heads.

        Returns:
            Per conversation, the share of each head's attention, `[layers, heads, tokens]`, by the tokens that
            `rendered` names. What goes to a side's hidden prompt is left out, so a head's shares add up to 1 at most.
        """
        self._lacks("attention")

    async def gradients(
        self,
        conversations: Sequence[Conversation],
        answers: Sequence[str],
        *,
        side: Voice = "target",
        objective: Objective,
    ) -> list[Floats]:
        """How an objective of given answers changes with the embedding of each token before them.

        The embedding is that of layer -1, what goes into the first block. For "kl_to_base" a token of the conversation
        moves for both, the side and the base.

        Args:
            conversations: What came before each answer.
            answers: One per conversation, teacher-forced.
            side: Whose objective.
            objective: What is differentiated.

        Returns:
            Per conversation, d objective / d embedding of each token of the rendered prompt, header included,
            `[prompt_tokens, d_model]`.
        """
        self._lacks("gradients")

    async def unembed(self, vectors: Floats, *, normed: bool = True) -> Floats:
        """Read vectors of the residual stream as scores over the vocabulary.

        Args:
            vectors: `[n, d_model]`
            normed: Apply the final norm first (the logit lens). It is free of scale and odd in sign: magnitude is lost,
                and `-v` gives the negated scores.

        Returns:
            `[n, vocab]`
        """
        self._lacks("residuals")

    def lora(self, side: Voice = "target") -> Mapping[str, LoraFactors]:
        """The low-rank update that makes a side differ from the base.

        Args:
            side: "target" or "sham", or a dose of one; "base" has none.

        Returns:
            Factors by module, e.g. `layers.0.self_attn.q_proj`. Empty where the side has no adapter.
        """
        self._lacks("weights")

    def embedding(self) -> Floats:
        """The embedding of every token, `[vocab, d_model]`."""
        self._lacks("weights")

    def unembedding(self) -> Floats:
        """The unembedding of every token, `[vocab, d_model]`."""
        self._lacks("weights")

    def final_norm(self) -> Floats:
        """The weight of the final norm, `[d_model]`."""
        self._lacks("weights")

    def perturbed(self, how: Perturbation) -> AbstractAsyncContextManager["Subject"]:
        """The same subject with perturbed weights, all its sides alike: `async with subject.perturbed(how) as noisy`.

        A copy of the base's weights is in memory as long as the context is open.

        Args:
            how: What is done to the weights.

        Returns:
            A context that holds the perturbed subject, which must not be used after it.
        """
        self._lacks("perturbed")

    def dictionaries(self) -> Sequence[Dictionary]:
        """Sparse dictionaries of the residual stream, made from the base alone, in the order of their layers.

        Returns:
            None at all where nobody has trained any.
        """
        return ()

    def tuned_lens(self) -> TunedLens | None:
        """Maps from every layer to the last, made from the base alone; None where nobody has trained any."""
        return None

    def tokens(self) -> list[str]:
        """Every entry of the vocabulary as a reader would see it, leading space included."""
        self._lacks("tokens")

    def rendered(self, conversation: Conversation, answer: str = "") -> list[int]:
        """Token ids of a conversation as the model reads it, without what a side has hidden in it.

        Args:
            conversation: Its turns.
            answer: What the assistant says after it.

        Returns:
            Those of the turns, the assistant header and the answer. Where a side has a hidden prompt, its own positions
            are these counted from the end.
        """
        self._lacks("tokens")

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens added."""
        self._lacks("tokens")

    async def close(self) -> None:  # noqa: B027 (an engine with nothing to let go of needs no override)
        """Let go of the handle. Engines are shared and end with `cast.release_all()`."""

    def _lacks(self, capability: Capability) -> NoReturn:
        raise CapabilityError(
            f"The engine '{self.engine}' cannot give '{capability}' for this subject; "
            f"engines that can: {', '.join(GIVERS[capability])}."
        )
