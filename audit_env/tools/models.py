"""Who is who among the models of an audit: the auditor, the target, the reference."""

import math
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from dataclasses import dataclass

from inspect_ai._util._async import tg_collect
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
from inspect_ai.util import suspend_token_limit, suspend_turn_limit

from audit_env.catalog.models import ANY_MODEL, Card
from audit_env.errors import ParameterError
from audit_env.game.record import Turn
from audit_env.runtime import cast
from audit_env.runtime.api import ROLE
from audit_env.runtime.cast import model_name
from audit_env.runtime.provider import OUTPUT_TOKENS

TEMPERATURE = 0.7
MAX_TOKENS = 64
"""Longest answer of a target, in tokens."""

ORGANISM = ROLE
"""The role of a target. `--model-role organism=...` overrides every target of a run, its settings included, but for
the targets that any model can play: those it plays."""

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


def a_script_audits() -> bool:
    """Whether it is known that no model audits.

    Returns:
        False also outside an eval, where the model is yet to be given.
    """
    try:
        return str(get_model()) == _NO_MODEL
    except ValueError:
        return False


def target(alias: str) -> Model:
    """The model that stands for a target.

    Args:
        alias: The target's alias.

    Returns:
        The bound organism, unless the run overrides the role.
    """
    if cast.plays(alias) is None:
        return get_model(model_name(alias), role=ORGANISM, config=_settings())
    # Asked for by role, Inspect would hand out the player, without its prompt.
    model = copy(get_model(model_name(alias), config=_settings()))
    model._set_role(ORGANISM)
    return model


def played_by(card: Card) -> str | None:
    """The model that plays an organism in this run.

    Args:
        card: The organism's card.

    Returns:
        Its name, such as "openai/gpt-5"; None for an organism with weights, and where the run names no model.
    """
    if card.plays != ANY_MODEL:
        return card.plays
    bound = model_roles().get(ORGANISM)
    return str(bound[0] if isinstance(bound, list) else bound) if bound else None


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
    if output.error and output.stop_reason == "model_length":
        raise ParameterError(output.error)  # the conversation fills the context: no answer, and no silence either
    return Answer(output.completion, _output_tokens(output))


def _output_tokens(output: ModelOutput) -> int:
    if output.usage:
        return output.usage.output_tokens
    counted = (output.metadata or {}).get(OUTPUT_TOKENS)
    # A provider that reports no usage is charged by the usual rule of four characters a token.
    return counted if isinstance(counted, int) else math.ceil(len(output.completion) / 4)


def _settings() -> GenerateConfig:
    return GenerateConfig(temperature=TEMPERATURE, max_tokens=MAX_TOKENS)
