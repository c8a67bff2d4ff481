"""The target said louder or softer: the same prompts at several settings, each beside the same setting of the sham.

What `dose` and `amplify` have in common. Only the target as it is gives answers that can be cited as its own; what it
says at other settings is a reading of its weights.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from audit_env.game.record import Turn
from audit_env.runtime.subject import Dose, Subject, Voice
from audit_env.tools.accounting import Call
from audit_env.tools.banks import bank
from audit_env.tools.grey_box.likelihood import log_likelihood
from audit_env.tools.layout import block, shortened
from audit_env.tools.models import MAX_TOKENS
from audit_env.tools.prompts import checked
from audit_env.tools.white_box.null import BesideSham, figure, legend
from audit_env.tools.white_box.words import Floats

MOST_PROMPTS = 20
PROMPTS_ASKED = 12
"""Of the bank, where the auditor gives none."""
WORDS_SHOWN = 5
LINES_OF_ANSWERS = 14
LONGEST_ANSWER = 100
"""Characters of an answer that are shown."""

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")

Trained = Literal["target", "sham"]


@dataclass(frozen=True)
class Setting:
    """How loudly a side says what it adds to the base."""

    name: str
    scale: float = 1.0
    """Of the adapter; 0 is the base."""
    rank: int | None = None
    """Singular directions that are left of each of the adapter's updates; None for all."""
    amplify: float = 0.0

    @property
    def plain(self) -> bool:
        """Whether it is the side as it is."""
        return (self.scale, self.rank, self.amplify) == (1.0, None, 0.0)

    def voice(self, side: Trained) -> Voice:
        """The side at this setting."""
        if self.scale == 0.0:
            return "base"
        return side if self.scale == 1.0 and self.rank is None else Dose(side, self.scale, self.rank)


BASE = Setting("base", scale=0.0)


@dataclass(frozen=True)
class Loudness:
    """What a side says to all prompts at one setting.

    Attributes:
        answers: One a prompt.
        tokens: Tokens that they took.
        coherence: Mean log-probability of a token under the base, nats: how much of it is still language.
        share: Share of the answers that hold a word, by word.
    """

    answers: Sequence[str]
    tokens: int
    coherence: float
    share: Mapping[str, float]


async def said(subject: Subject, prompts: Sequence[str], setting: Setting, *, side: Trained, seed: int) -> Loudness:
    """Let a side answer prompts at a setting.

    Args:
        subject: The handle.
        prompts: What the user says, each in a fresh conversation.
        setting: How loudly.
        side: Who answers.
        seed: Seed of the answers; equal ones pair the settings.

    Returns:
        The answers and what can be said of them.
    """
    asked = [[Turn(role="user", content=prompt)] for prompt in prompts]
    drawn = await subject.generate(
        asked, side=setting.voice(side), amplify=setting.amplify, max_tokens=MAX_TOKENS, seed=seed
    )
    answers = [sample.text for [sample] in drawn]
    read = await log_likelihood(subject, asked, answers, side="base")
    count = Counter(word for answer in answers for word in set(_WORD.findall(answer.lower())))
    return Loudness(
        answers=answers,
        tokens=sum(sample.generated_tokens for [sample] in drawn),
        coherence=sum(mean * length for mean, length in read) / max(1, sum(length for _, length in read)),
        share={word: number / len(answers) for word, number in count.items()},
    )


def gained(loud: Loudness, base: Loudness, words: Sequence[str]) -> Floats:
    """How much oftener words stand in answers than in the base's; nothing for a word of a single answer of several.

    Args:
        loud: The answers.
        base: The base's to the same prompts.
        words: The words.

    Returns:
        Difference of the shares of answers, `[words]`.
    """
    single = 1.5 / len(loud.answers) if len(loud.answers) > 1 else 0.0
    shares = ((loud.share.get(word, 0.0), base.share.get(word, 0.0)) for word in words)
    return np.array([here - there if here > single else 0.0 for here, there in shares])


def asked_prompts(prompts: Sequence[str] | None) -> list[str]:
    """The prompts of a call.

    Args:
        prompts: Those of the auditor; None for some of the bank's, of as many topics.

    Returns:
        The prompts, checked.
    """
    if prompts:
        return checked(prompts, MOST_PROMPTS)
    first = {prompt.topic: prompt.text for prompt in reversed(bank("ordinary").prompts)}
    return list(first.values())[::-1][:PROMPTS_ASKED]


async def compared(
    call: Call, subject: Subject, tool: str, prompts: Sequence[str], settings: Sequence[Setting]
) -> tuple[list[str], list[str]]:
    """Ask the target at several settings, and lay its answers beside each other.

    Args:
        call: The books of this call, which pays for the target's answers.
        subject: The handle.
        tool: Name of the tool, for the reading.
        prompts: What is asked.
        settings: From soft to loud, one of them the target as it is.

    Returns:
        The lines of the tool's answer, but for the last, and the prompts whose answers they show.
    """
    asked = prompts[: call.affordable(len(prompts), MAX_TOKENS * len(settings))]
    seed = call.seed()
    base = await said(subject, asked, BASE, side="target", seed=seed)
    target = {one: await said(subject, asked, one, side="target", seed=seed) for one in settings}
    call.spend(sum(loud.tokens for loud in target.values()))
    shams: dict[Setting, Loudness] | None = None
    if "sham" in subject.capabilities:
        shams = {one: await said(subject, asked, one, side="sham", seed=seed) for one in settings}
    rows = {one: _row(target[one], base, shams[one] if shams else None) for one in settings}
    reading = call.reading(
        tool, "; ".join(f"{one.name}: words gained over the base {row.row(WORDS_SHOWN)}" for one, row in rows.items())
    )
    shown = _telling(asked, target, rows)
    lines = [
        f"{reading.id} {tool}: {len(asked)} prompts. {legend(shams)}",
        "share of answers with a word, minus the base's share; coherence, nats a token under the base "
        f"(the base's own {figure(base.coherence)}):",
        *(_summary(one, target[one], shams[one] if shams else None, rows[one]) for one in settings),
        *([f"{len(prompts) - len(asked)} prompts not asked: no target tokens left."] if asked != prompts else []),
        *_beside(call, asked, shown, base, target),
    ]
    return lines, [asked[place] for place in shown]


def _row(loud: Loudness, base: Loudness, sham: Loudness | None) -> BesideSham:
    words = sorted({*loud.share, *(sham.share if sham else ())})
    return BesideSham(words, gained(loud, base, words), None if sham is None else gained(sham, base, words))


def _telling(
    prompts: Sequence[str], target: Mapping[Setting, Loudness], rows: Mapping[Setting, BesideSham]
) -> list[int]:
    """Places of the prompts on which most of the leading words are said: as many as one screen holds."""
    leading = {rows[setting].names[place] for setting in target for place in rows[setting].ranked(3)}
    hits = [
        sum(len(leading & set(_WORD.findall(loud.answers[place].lower()))) for loud in target.values())
        for place in range(len(prompts))
    ]
    order = sorted(range(len(prompts)), key=lambda place: -hits[place])
    return order[: max(1, LINES_OF_ANSWERS // (2 + len(target)))]


def _summary(setting: Setting, loud: Loudness, sham: Loudness | None, row: BesideSham) -> str:
    coherence = figure(loud.coherence) + ("" if sham is None else f"|{figure(sham.coherence)}")
    return f"{setting.name}: coherence {coherence}; words {row.row(WORDS_SHOWN)}"


def _beside(
    call: Call,
    prompts: Sequence[str],
    shown: Sequence[int],
    base: Loudness,
    target: Mapping[Setting, Loudness],
) -> list[str]:
    """The answers to some prompts, setting by setting."""
    lines: list[str] = []
    for place in shown:
        answers = [("base", base.answers[place])]
        turns = [Turn(role="user", content=prompts[place])]
        for setting, loud in target.items():
            answer, label = loud.answers[place], setting.name
            if setting.plain:
                # Paid for when it was drawn.
                label = f"{call.exchange(turns, answer, tokens=0).id} {label}"
            else:
                call.altered(label, turns, shortened(answer, LONGEST_ANSWER))
            answers.append((label, answer))
        lines.append(block(prompts[place], [(label, shortened(answer, LONGEST_ANSWER)) for label, answer in answers]))
    if left := len(prompts) - len(shown):
        lines.append(f"[{left} prompts more went into the figures: give some of them, or your own, to read them]")
    return lines
