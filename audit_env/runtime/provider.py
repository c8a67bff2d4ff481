"""Organisms as Inspect models: `organism/<id>`, or `organism/<alias>` for the target of an audit.

Any eval can take one (`inspect eval some_task --model organism/fruitfly/base`). The model's name in the log carries the
first digits of the weights' hash, because Inspect's cache knows a model by its name alone.

Sampling is deterministic: without a seed, an answer depends on the messages and the epoch, so asking the same thing
twice in one sample gives the same answer twice. Ask with `num_choices`, or with seeds, to see several.
"""

import logging
import math
import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from inspect_ai._util.error import PrerequisiteError
from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessage,
    ChatMessageAssistant,
    Content,
    ContentReasoning,
    ContentText,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    StopReason,
)
from inspect_ai.model._model_info import MODEL_INFO_LOOKUP_API_KEY
from inspect_ai.solver._task_state import sample_state
from inspect_ai.tool import ToolChoice, ToolInfo
from typing_extensions import override

from audit_env.errors import AuditEnvError, CapabilityError
from audit_env.runtime import cast
from audit_env.runtime.subject import ContextOverflow, Sample, Subject

MAX_TOKENS = 256
"""Length of an answer where no `max_tokens` is given."""

CONNECTIONS = 64
"""Requests at a time: as many as the engine's batch has rows."""

OUTPUT_TOKENS = "output_tokens"
"""In an output's metadata, what was generated where Inspect has counted the tokens already (`Subject.metered`)."""

IGNORED = ("frequency_penalty", "presence_penalty", "logit_bias", "top_k", "logprobs", "response_schema")
"""Settings of Inspect that organisms do not have."""

_THOUGHT = re.compile(r"\s*<think>(?P<thought>.*?)(?:</think>(?P<answer>.*)|$)", re.DOTALL)

_logger = logging.getLogger(__name__)


class OrganismAPI(ModelAPI):
    """The provider `organism`. It takes the model argument `engine`, and the options of the engine "vllm"."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig = GenerateConfig(),  # noqa: B008 (Inspect's own default)
        engine: str | None = None,
        **options: Any,
    ) -> None:
        """Find the organism and load it.

        Args:
            model_name: An organism's id, or a bound alias.
            base_url: Not used: organisms run on this machine, or where the options say.
            api_key: Not used, but for what Inspect gives when it wants no more than a name.
            config: Default settings.
            engine: What is to compute it, "small", "hf" or "vllm" (see `cast.subject`). Inspect's cache does not tell
                their answers apart.
            **options: Of the engine "vllm", such as `tensor_parallel` (see `vllm.options.Options`).

        Raises:
            PrerequisiteError: If there is no such organism, or it cannot be loaded.
        """
        try:
            name = cast.pinned(model_name)
            # Inspect also makes a model to look its name up, and leaves out the arguments that say what computes it.
            if api_key != MODEL_INFO_LOOKUP_API_KEY:
                cast.subject(name, engine, **options)
        except AuditEnvError as error:
            raise PrerequisiteError(str(error)) from error
        super().__init__(name, base_url, api_key, [], config)
        self._engine, self._options = engine, options

    @override
    async def generate(
        self, input: list[ChatMessage], tools: list[ToolInfo], tool_choice: ToolChoice, config: GenerateConfig
    ) -> ModelOutput:
        """Answer. A trailing assistant message is the beginning of the answer."""
        if tools and tool_choice != "none":
            raise CapabilityError("Organisms answer in text and cannot call tools: choose a model that can.")
        for setting in IGNORED:
            if getattr(config, setting):
                _warn_ignored(setting)
        turns = [{"role": message.role, "content": _text(message)} for message in input]
        prefill = turns.pop()["content"] if turns and turns[-1]["role"] == "assistant" else ""
        subject = self._subject()
        try:
            [samples] = await subject.generate(
                [turns],
                prefill=prefill,
                n=config.num_choices or 1,
                temperature=1.0 if config.temperature is None else config.temperature,
                top_p=1.0 if config.top_p is None else config.top_p,
                max_tokens=config.max_tokens or MAX_TOKENS,
                seed=_epoch() if config.seed is None else config.seed,
                thinking=bool(config.reasoning_tokens) or config.reasoning_effort not in (None, "none"),
            )
        except ContextOverflow as error:
            return ModelOutput.from_content(self.model_name, "", stop_reason="model_length", error=str(error))
        choices = [self._choice(sample, subject.context_length, config.stop_seqs or []) for sample in samples]
        return ModelOutput(
            model=self.model_name,
            choices=choices,
            usage=None if subject.metered else _usage(samples, choices, subject),
            metadata={OUTPUT_TOKENS: sum(sample.generated_tokens for sample in samples)} if subject.metered else None,
        )

    @override
    async def count_text_tokens(self, text: str) -> int:
        """Count with the model's own tokenizer, or by the rule of four; Inspect's default would download another's."""
        subject = self._subject()
        return len(subject.encode(text)) if "tokens" in subject.capabilities else math.ceil(len(text) / 4)

    @override
    def max_tokens(self) -> int:
        """Length of an answer where none is given."""
        return MAX_TOKENS

    @override
    def max_connections(self) -> int:
        """As many as the engine's batch has rows."""
        return CONNECTIONS

    @override
    def connection_key(self) -> str:
        """One pool for all organisms, as they share engines."""
        return cast.PROVIDER

    @override
    def collapse_user_messages(self) -> bool:
        """Chat models are trained on turns that alternate."""
        return True

    def _subject(self) -> Subject:
        return cast.subject(self.model_name, self._engine, **self._options)

    def _choice(self, sample: Sample, context_length: int, stop_seqs: Sequence[str]) -> ChatCompletionChoice:
        text = sample.text
        cuts = [place for sequence in stop_seqs if (place := text.find(sequence)) >= 0]
        stop_reason: StopReason = "stop"
        if cuts:
            text = text[: min(cuts)]
        elif sample.stop == "length":
            full = sample.prompt_tokens + len(sample.ids) >= context_length
            stop_reason = "model_length" if full else "max_tokens"
        message = ChatMessageAssistant(content=_content(text), model=self.model_name, source="generate")
        return ChatCompletionChoice(message=message, stop_reason=stop_reason)


def _content(text: str) -> str | list[Content]:
    """An answer with its thinking, if it has any, told apart."""
    thinking = _THOUGHT.match(text)
    if thinking is None:
        return text
    answer = thinking["answer"] or ""
    return [ContentReasoning(reasoning=thinking["thought"].strip()), ContentText(text=answer.strip())]


def _usage(samples: Sequence[Sample], choices: Sequence[ChatCompletionChoice], subject: Subject) -> ModelUsage:
    """Exact counts: the prompt once, every generated token, the ends of turns included."""
    read, written = samples[0].prompt_tokens, sum(sample.generated_tokens for sample in samples)
    thoughts = [
        part.reasoning
        for choice in choices
        if not isinstance(choice.message.content, str)
        for part in choice.message.content
        if isinstance(part, ContentReasoning)
    ]
    return ModelUsage(
        input_tokens=read,
        output_tokens=written,
        total_tokens=read + written,
        reasoning_tokens=sum(len(subject.encode(thought)) for thought in thoughts) if thoughts else None,
    )


def _text(message: ChatMessage) -> str:
    """What a message says, a thinking block in its marks."""
    if isinstance(message.content, str):
        return message.content
    parts: list[str] = []
    for part in message.content:
        if not isinstance(part, ContentText | ContentReasoning):
            raise CapabilityError(f"Organisms read text only, and a message holds '{part.type}'.")
        parts.append(part.text)
    return "".join(parts)


def _epoch() -> int:
    """Number of the epoch, 0 outside an eval: the seed of a call that gives none, so that epochs differ."""
    state = sample_state()
    return state.epoch if state else 0


@cache
def _warn_ignored(setting: str) -> None:
    _logger.warning(f"Organisms ignore the setting '{setting}'.")
