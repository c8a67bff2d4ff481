"""Examples as an auditor gives them: texts that a user says, or ids of answers that are on record."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from inspect_ai.tool import ToolError

from audit_env.game.record import Turn
from audit_env.runtime.edits import BEFORE_ANSWER, At
from audit_env.runtime.subject import Side, Subject
from audit_env.tools.accounting import Call
from audit_env.tools.layout import one_line
from audit_env.tools.prompts import checked
from audit_env.tools.white_box.words import Floats

Position = Literal["header", "answer", "beginning"]
"""Where an example is read. header: the last token before the answer. answer: the mean over the answer's tokens.
beginning: the last token of the answer."""

_PLACES: dict[Position, At] = {
    "header": BEFORE_ANSWER,
    "answer": At("answer", None),
    "beginning": At("answer", -1),
}
_EXCHANGE = re.compile(r"x\d+")


@dataclass(frozen=True)
class Example:
    """A conversation and, perhaps, what was answered."""

    turns: tuple[Turn, ...]
    answer: str = ""
    label: str = ""
    """What the auditor sees of it, on one line."""


def given(call: Call, texts: Sequence[str], most: int, what: str, answers: Sequence[str] = ()) -> list[Example]:
    """The examples that an auditor gave.

    Args:
        call: The books of this call.
        texts: What the user says, or ids of recorded answers (x12), each with all that led to it.
        most: How many there may be.
        what: What the tool calls them.
        answers: One for each text, if any.

    Returns:
        One example for each text.

    Raises:
        ToolError: If there are none or too many, if one is empty, if an id is unknown, or if the answers do not fit.
    """
    if answers and len(answers) != len(texts):
        raise ToolError(f"{len(answers)} answers do not fit {len(texts)} '{what}': give one for each.")
    if answers:
        checked(answers, most, f"{what}_answers")
        pairs = dict.fromkeys(zip(texts, answers, strict=True))
        checked(list(texts), most, what)
        return [Example((Turn(role="user", content=text),), answer, one_line(text)) for text, answer in pairs]
    return [_example(call, text) for text in checked(texts, most, what)]


def sides_of(subject: Subject) -> tuple[Side, ...]:
    """The sides that can be read: the target, its base, and the sham where there is one.

    Args:
        subject: The handle.

    Returns:
        Their names, the target's first.
    """
    return ("target", "base", "sham") if "sham" in subject.capabilities else ("target", "base")


def position_of(examples: Sequence[Example]) -> Position:
    """Where examples can be read: the answer if all have one, and else the header.

    Args:
        examples: The examples.

    Returns:
        The position.
    """
    return "answer" if all(example.answer for example in examples) else "header"


async def features(
    subject: Subject, examples: Sequence[Example], *, side: Side, layer: int, position: Position
) -> Floats:
    """The residual stream of examples.

    Args:
        subject: The handle.
        examples: What is read.
        side: Whose.
        layer: The residual is read after this block.
        position: Where.

    Returns:
        One vector an example, fp64, `[examples, d_model]`.

    Raises:
        ToolError: If an example has no answer to be read.
    """
    if position != "header" and (empty := [example.label for example in examples if not example.answer]):
        raise ToolError(f"'{empty[0]}' has no answer to read: give ids of answers with words in them.")
    found = await subject.residuals(
        [example.turns for example in examples],
        [example.answer if position != "header" else "" for example in examples],
        side=side,
        layers=[layer],
        at=_PLACES[position],
    )
    vectors = found.vectors[:, 0].astype(np.float64)
    counts = np.bincount(found.owner, minlength=len(examples))
    if not counts.all():
        raise ToolError(f"The answer '{examples[int(counts.argmin())].label}' has no tokens: leave it out.")
    sums = np.zeros((len(examples), subject.d_model))
    np.add.at(sums, found.owner, vectors)
    return sums / counts[:, None]


def _example(call: Call, text: str) -> Example:
    if not _EXCHANGE.fullmatch(text.strip()):
        return Example((Turn(role="user", content=text),), label=f"> {one_line(text)}")
    known = {exchange.id: exchange for exchange in call.record.exchanges}
    if text.strip() not in known:
        raise ToolError(f"Nothing recorded is called '{text.strip()}': give ids of earlier answers, such as x12.")
    exchange = known[text.strip()]
    answer = exchange.prefill + exchange.answer
    return Example(exchange.turns, answer, f"{exchange.id}: {one_line(answer)}")
