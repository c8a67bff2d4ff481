"""Inputs that somebody else than the auditor writes: a helper model, or where there is none the prompt bank."""

import re
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import cycle, islice
from typing import Generic, Literal, TypeVar

import yaml
from inspect_ai.model import Model, get_model, model_roles
from inspect_ai.tool import ToolError
from inspect_ai.util import sample_limits, suspend_turn_limit
from pydantic import Field, TypeAdapter, ValidationError

from audit_env.catalog.models import Strict
from audit_env.errors import ParameterError
from audit_env.runtime.cast import PROVIDER
from audit_env.tools.accounting import Call
from audit_env.tools.banks import Prompt, bank
from audit_env.tools.data.bm25 import Bm25
from audit_env.tools.models import auditor_is_a_model
from audit_env.tools.prompts import LONGEST_TEXT

ROLE = "helper"
"""The model role of whoever writes inputs."""

BANK = "ordinary"
MOST_HINT = 2_000
"""Characters of a hint."""

Kind = Literal["chat", "prefill", "completion", "user"]

_FENCE = re.compile(r"\A```(?:json)?\s*\n(?P<inside>.*)\n```\Z", re.DOTALL)


class Asked(Strict):
    """A message to the target."""

    prompt: str = Field(min_length=1, max_length=LONGEST_TEXT)
    system: str = Field(default="", max_length=LONGEST_TEXT)


class Begun(Asked):
    """A message, and how its answer begins."""

    beginning: str = Field(min_length=1, max_length=LONGEST_TEXT)


class Text(Strict):
    """A text to be gone on from."""

    text: str = Field(min_length=1, max_length=LONGEST_TEXT)


class Context(Strict):
    """What comes before a user's turn."""

    system: str = Field(default="", max_length=LONGEST_TEXT)
    user: str = Field(default="", max_length=LONGEST_TEXT)
    assistant: str = Field(default="", max_length=LONGEST_TEXT)


Input = TypeVar("Input", bound=Strict)


class Written(Strict, Generic[Input]):
    """Inputs, and where they come from."""

    inputs: tuple[Input, ...]
    source: str
    """For the auditor to read."""


class _Openings(Strict):
    beginnings: tuple[str, ...]
    texts: tuple[str, ...]
    contexts: tuple[str, ...]


async def written(call: Call, kind: Kind, of: type[Input], hint: str, count: int) -> Written[Input]:
    """Have inputs written from a hint.

    Args:
        call: The books of this call. What a helper model reads and writes counts as the auditor's tokens.
        kind: Which prompt the helper gets, beside this module.
        of: What an input is.
        hint: What the auditor wants to look into.
        count: How many inputs.

    Returns:
        At most `count` inputs, and at least one.

    Raises:
        ToolError: If the hint is empty or endless, or the helper's text cannot be read.
    """
    if not hint.strip():
        raise ToolError("'hint' is empty: say in a sentence what the inputs should look into.")
    if len(hint) > MOST_HINT:
        raise ToolError(f"'hint' has {len(hint):,} characters: say it in at most {MOST_HINT:,}.")
    model = helper()
    if model is None:
        picked = TypeAdapter(tuple[of, ...]).validate_python(  # type: ignore[valid-type]
            [dict(one) for one in from_bank(kind, hint, count)]
        )
        return Written(inputs=picked, source="picked from the prompt bank by the words of the hint: no helper model")
    prompt = (files(__package__) / "prompts" / f"{kind}.md").read_text(encoding="utf-8")
    request = prompt.replace("{{ hint }}", hint.strip()).replace("{{ count }}", str(count))
    with suspend_turn_limit():
        output = await model.generate(request)
    call.record.spent.auditor_tokens = int(sample_limits().token.usage)
    return Written(inputs=parsed(output.completion, of)[:count], source="written by the helper model")


def helper() -> Model | None:
    """Who writes inputs: the model of the role `helper`, or else the auditor's own.

    Returns:
        The model; None where neither is given.

    Raises:
        ParameterError: If it is an organism: the target must not write its own test.
    """
    model = get_model(role=ROLE) if ROLE in model_roles() else get_model() if auditor_is_a_model() else None
    if model is not None and str(model).startswith(f"{PROVIDER}/"):
        raise ParameterError(f"--model-role {ROLE}: an organism cannot be the helper; name another model.")
    return model


def parsed(text: str, of: type[Input]) -> tuple[Input, ...]:
    """What a helper wrote, read strictly.

    Args:
        text: A JSON array of objects, in a code fence or not.
        of: What each object must be.

    Returns:
        The inputs, each once.

    Raises:
        ToolError: If it is anything else.
    """
    fenced = _FENCE.match(text.strip())
    try:
        found = TypeAdapter(tuple[of, ...]).validate_json(  # type: ignore[valid-type]
            fenced["inside"] if fenced else text.strip()
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the text as a whole"
        raise ToolError(
            f"The helper model wrote no usable inputs ({place}: {first['msg']}): call again, with a simpler hint or a "
            "smaller batch, or write the inputs yourself with the tool of the same name without 'scaffolded'."
        ) from error
    if not found:
        raise ToolError("The helper model wrote an empty list: call again, with a hint that says more.")
    return tuple(dict.fromkeys(found))


def from_bank(kind: Kind, hint: str, count: int) -> list[dict[str, str]]:
    """Inputs out of the prompt bank, those nearest to the hint by BM25 first, then others of all topics in turn.

    Args:
        kind: What an input is made of.
        hint: What the auditor wants to look into.
        count: How many.

    Returns:
        Fields of each input.
    """
    openings, prompts = _openings(), nearest_prompts(hint, count)
    if kind == "chat":
        return [{"prompt": one.text} for one in prompts]
    if kind == "prefill":
        beginnings = cycle(openings.beginnings)
        return [{"prompt": one.text, "beginning": begun} for one, begun in zip(prompts, beginnings, strict=False)]
    templates = cycle(openings.texts if kind == "completion" else openings.contexts)
    field = "text" if kind == "completion" else "system"
    filled = (
        template.format(prompt=one.text, topic=one.topic)
        for one, template in zip(islice(cycle(prompts), 4 * count), templates, strict=False)
    )
    return [{field: text} for text in islice(dict.fromkeys(filled), count)]


def nearest_prompts(hint: str, count: int) -> Sequence[Prompt]:
    """Prompts of the bank, those that share words with a hint first, filled up with one of each topic in turn."""
    prompts = bank(BANK).prompts
    near = [prompts[place] for place, _ in _index().ranked(hint)]
    topics: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        topics.setdefault(prompt.topic, []).append(prompt)
    in_turn = sorted(prompts, key=lambda one: topics[one.topic].index(one))
    return list(dict.fromkeys([*near, *in_turn]))[:count]


@cache
def _index() -> Bm25:
    return Bm25([f"{prompt.topic} {prompt.text}" for prompt in bank(BANK).prompts])


@cache
def _openings() -> _Openings:
    return _Openings.model_validate(yaml.safe_load((files(__package__) / "openings.yaml").read_text(encoding="utf-8")))
