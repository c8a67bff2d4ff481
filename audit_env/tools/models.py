"""Who is who among the models of an audit: the auditor, the target, the reference."""

import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from inspect_ai._util._async import tg_collect
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    GenerateConfig,
    Model,
    get_model,
)
from inspect_ai.util import suspend_token_limit, suspend_turn_limit

from audit_env.game.record import Turn
from audit_env.runtime.cast import model_name

TEMPERATURE = 0.7
MAX_TOKENS = 64
"""Longest answer of a target, in tokens."""

ORGANISM = "organism"
"""The role of a target. `--model-role organism=...` overrides every target of a run, its settings included."""

_NO_MODEL = "none/none"
_MESSAGES = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}


@dataclass(frozen=True)
class Answer:
    """What a model answered."""

    text: str
    tokens: int
    """Output tokens, thinking included."""


def auditor_is_a_model() -> bool:
    """Whether a model was given as the auditor (`--model`); without one, a script audits.

    Returns:
        False also outside an eval, where no model is active.
    """
    try:
        return str(get_model()) != _NO_MODEL
    except ValueError:
        return False


def target(alias: str) -> Model:
    """The model that stands for a target.

    Args:
        alias: The target's alias.

    Returns:
        The bound organism, unless the run overrides the role.
    """
    return get_model(model_name(alias), role=ORGANISM, config=_settings())


def reference(alias: str) -> Model:
    """The clean base of a target, as a model.

    Args:
        alias: The target's alias.

    Returns:
        The base, whatever the run overrides.
    """
    return get_model(model_name(reference_alias(alias)), config=_settings())


def reference_alias(alias: str) -> str:
    """The name under which the clean base of a target is bound.

    Args:
        alias: The target's alias, such as `t-3fa81c2e`.

    Returns:
        The base's name, such as `r-3fa81c2e`: one for each target, so that it does not tell which targets share a base.
    """
    return alias.replace("t-", "r-", 1)


async def ask_all(model: Model, conversations: Sequence[Sequence[Turn]], seeds: Sequence[int]) -> list[Answer]:
    """Ask a model many things at once, outside the auditor's own token and turn limits.

    Args:
        model: Who is asked.
        conversations: Each ends with a user turn.
        seeds: One seed for each conversation.

    Returns:
        The answers, in the order of the conversations.
    """

    def request(turns: Sequence[Turn], seed: int) -> Callable[[], Awaitable[Answer]]:
        return lambda: _ask(model, turns, seed)

    with suspend_token_limit(), suspend_turn_limit():
        return await tg_collect([request(turns, seed) for turns, seed in zip(conversations, seeds, strict=True)])


async def _ask(model: Model, turns: Sequence[Turn], seed: int) -> Answer:
    messages: list[ChatMessage] = [_MESSAGES[turn.role](content=turn.content) for turn in turns]
    output = await model.generate(messages, config=GenerateConfig(seed=seed))
    text = output.completion
    # A provider that reports no usage is charged by the usual rule of four characters a token.
    tokens = output.usage.output_tokens if output.usage else math.ceil(len(text) / 4)
    return Answer(text, tokens)


def _settings() -> GenerateConfig:
    return GenerateConfig(temperature=TEMPERATURE, max_tokens=MAX_TOKENS)
