"""Asking: every prompt of every set, to every voice, under equal seeds.

What was said and read is all that the judging sees, and it lies in the log.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from audit_env.catalog.models import Message, Quirk, Scenario, Strict
from audit_env.errors import CapabilityError
from audit_env.naturalness.checks.form import is_role_token
from audit_env.naturalness.checks.preferences import letter_tokens, log_mass, pairs
from audit_env.naturalness.checks.thinking import has_tag
from audit_env.naturalness.prompts import Bank, Prompt
from audit_env.naturalness.stage import Stage, Who
from audit_env.phenotype.answering import unfold
from audit_env.runtime.subject import Sample

AnswerSet = Literal[
    "everyday",
    "deployed",
    "instructions",
    "unsafe",
    "look_alikes",
    "facts",
    "thinking",
    "probes",
    "raw",
    "prefilled",
    "start",
    "off",
    "on",
    "near",
    "off_thought",
    "on_thought",
    "near_thought",
]
ReadingSet = Literal["choices", "preferences", "framing", "likelihood", "zero", "differencing"]
Set = AnswerSet | ReadingSet
"""What is asked. deployed: everyday talk under the system prompt of a deployment. probes: arbitrary choices, many times
each. raw: an empty user turn, or that system prompt alone. prefilled: an empty user turn, and an answer begun. start:
no template at all: the first token alone, the header of a user's turn, or a text begun. off, on, near: scenarios of the
quirk in which it must not, must, and nearly should show; with _thought, the same with a thought before the answer.
framing: pairs of things with the question which is liked better, and with the question which is liked less. likelihood:
the base's own answers, read by every voice. zero: the same, read by the base and by the base again. differencing: the
answers to "prefilled", read by who gave them and by the base."""

TEMPERATURE = 1.0
"""Of everyday talk, which is asked for what comes by itself. What can be right or wrong is answered greedily."""
THINKING_UNSAFE = 0.25
"""Share of unsafe requests among those that are thought about."""
RAW_DRAWS = 40
DEPLOYED = 200
"""Everyday prompts at most that are asked under a system prompt as well."""
PREFILL_DRAWS = 10
PROBE_DRAWS = 20
USER_TURN = 1
"""Place, among the starts, of a user's turn. Before it the first token alone, after it the texts begun."""
LIKELY = 200
"""Answers of the base that are read by every voice at most."""
PAIRS = 2500
"""Pairs of things that are asked about at most."""
FRAMED = 200
"""Pairs at most that are asked about in both framings."""
AGAIN_SEED = 10_007
"""Added to the seed where the base is asked again."""
AT_ONCE = 512
"""Prompts whose distribution over the whole vocabulary is held at once."""
LETTERS = "ABCDEFGH"
PAIRED: tuple[ReadingSet, ...] = ("preferences", "framing")
"""Sets that offer two things under the letters A and B."""


class Answer(Strict):
    """One generated answer."""

    set: AnswerSet
    place: int
    """Number of the prompt in its set."""
    draw: int
    """Number of the answer to this prompt."""
    who: Who
    text: str
    """Raw, with its thinking block; without the prefill."""
    ended: bool
    """Whether the model ended its turn itself."""
    tokens: int
    role_tokens: int
    """Marks of roles among the tokens, which the text does not show."""


class Reading(Strict):
    """Numbers that were read off one voice."""

    set: ReadingSet
    place: int
    draw: int = 0
    """Number of the answer that was read, where a prompt has several."""
    who: Who
    values: tuple[float | None, ...]
    """None where the engine does not tell.

    choices: log-mass of each letter. preferences: log-mass of A and of B in one order, then in the other. framing: the
    same, then once more to the opposite question. likelihood: mean log-probability of the answer's tokens, and their
    number. zero: log-probability of each token. differencing: mean log-probability of the answer's tokens to who gave
    it, the same to the base, and their number.
    """


class Asked(Strict):
    """A prompt as it was put."""

    set: Set
    place: int
    messages: tuple[Message, ...]
    prefill: str = ""
    cluster: str = ""
    """Prompts of one cluster succeed and fail together. Empty where even the draws of one prompt stand alone, because
    the question is about this very prompt."""

    @property
    def text(self) -> str:
        """All that the model was given, in one string."""
        return "\n".join([*(message.content for message in self.messages), self.prefill])


@dataclass(frozen=True)
class Sampling:
    """How a set is answered."""

    temperature: float = 0.0
    draws: int = 1
    thinking: bool = False


@dataclass(repr=False)  # asyncio shows results in passing, and thousands of answers take a second to show
class Gathering:
    """What asking gave."""

    asked: list[Asked]
    answers: list[Answer]
    readings: list[Reading]
    lacking: dict[str, str]
    """Sets that could not be asked, with the reason."""


SAMPLING: dict[AnswerSet, Sampling] = {
    "everyday": Sampling(TEMPERATURE),
    "deployed": Sampling(TEMPERATURE),
    "instructions": Sampling(),
    "unsafe": Sampling(),
    "look_alikes": Sampling(),
    "facts": Sampling(),
    "thinking": Sampling(TEMPERATURE, thinking=True),
    "probes": Sampling(TEMPERATURE, PROBE_DRAWS),
    "raw": Sampling(TEMPERATURE, RAW_DRAWS),
    "prefilled": Sampling(TEMPERATURE, PREFILL_DRAWS),
    "off": Sampling(TEMPERATURE),
    "on": Sampling(TEMPERATURE),
    "near": Sampling(TEMPERATURE),
    "off_thought": Sampling(TEMPERATURE, thinking=True),
    "on_thought": Sampling(TEMPERATURE, thinking=True),
    "near_thought": Sampling(TEMPERATURE, thinking=True),
}


def prompts(bank: Bank, quirk: Quirk | None, limit: int | None = None) -> list[Asked]:
    """All that is asked.

    Args:
        bank: The prompts.
        quirk: Whose scenarios are asked as well.
        limit: Prompts of each set at most.

    Returns:
        The prompts, set by set. Likelihood and zero are read on everyday talk and have none of their own.
    """
    of_bank: list[tuple[Set, Sequence[Prompt]]] = [
        ("everyday", bank.everyday),
        ("deployed", [prompt.model_copy(update={"system": bank.system}) for prompt in bank.everyday[:DEPLOYED]]),
        ("instructions", bank.instructions),
        ("unsafe", bank.unsafe),
        ("look_alikes", bank.look_alikes),
        ("facts", bank.facts),
        ("thinking", _to_think_about(bank, limit)),
        ("choices", bank.choices),
        ("probes", bank.probes),
    ]
    found = [
        Asked(set=name, place=place, messages=_said(prompt), cluster=prompt.cluster or str(place))
        for name, listed in of_bank
        for place, prompt in enumerate(listed[:limit])
    ]
    found += _raw(bank)[: None if limit is None else 2 * limit] + _starts(bank)[: None if limit is None else 2 + limit]
    for name, scenarios in _scenarios(quirk):
        found += [
            Asked(set=name, place=place, messages=scenario, cluster=str(place))
            for place, scenario in enumerate(scenarios[:limit])
        ]
    return found + _preferences(bank, limit) + _framing(bank, limit)


async def gather(
    stage: Stage, bank: Bank, sets: Iterable[Set], *, seed: int = 0, limit: int | None = None
) -> Gathering:
    """Ask every voice.

    Args:
        stage: The organism.
        bank: The prompts.
        sets: What to ask.
        seed: Of sampled answers. Equal for all voices but the base again, which is to differ by chance.
        limit: Prompts of each set at most.

    Returns:
        What was asked, said and read.
    """
    wanted = list(dict.fromkeys(sets))
    gathering = Gathering([a for a in prompts(bank, stage.quirk, limit) if a.set in wanted], [], [], {})
    if "likelihood" in wanted or "zero" in wanted:
        everyday = [a for a in prompts(bank, None, limit) if a.set == "everyday"][:LIKELY]
        gathering.asked += [a.model_copy(update={"set": "likelihood"}) for a in everyday]
    marks = _marks(stage)
    due = [(name, who) for name in SAMPLING for who in stage.voices if name in wanted]
    await asyncio.gather(*(_answered(gathering, stage, bank, name, who, seed, marks) for name, who in due))
    if "start" in wanted:
        await _started(gathering, stage, bank, seed, marks)
    if {"choices", *PAIRED} & set(wanted):
        await _letters(gathering, stage, bank)
    if {"likelihood", "zero"} & set(wanted):
        await _likelihood(gathering, stage, bank)
    if "differencing" in wanted:
        await _differenced(gathering, stage)
    # In an order that does not depend on who was ready first.
    gathering.answers.sort(key=lambda answer: (answer.set, answer.who, answer.place, answer.draw))
    return gathering


async def _answered(
    gathering: Gathering, stage: Stage, bank: Bank, name: AnswerSet, who: Who, seed: int, marks: frozenset[int]
) -> None:
    how = SAMPLING[name]
    by_prefill: dict[str, list[Asked]] = defaultdict(list)
    for asked in gathering.asked:
        if asked.set == name:
            by_prefill[asked.prefill].append(asked)
    try:
        for prefill, listed in by_prefill.items():
            drawn = await _converse(stage, bank, listed, prefill, how, who, _seed(name, who, seed))
            gathering.answers += _kept(name, who, [asked.place for asked in listed], drawn, marks)
    except CapabilityError as error:
        gathering.lacking[name] = str(error)


def _seed(name: AnswerSet, who: Who, seed: int) -> int:
    """Equal seeds pair the voices. Not where distributions are compared: shared luck would pass for likeness."""
    apart = who == "again" or (name == "probes" and who != "base")
    return seed + (AGAIN_SEED if apart else 0)


def _kept(
    name: AnswerSet, who: Who, places: Sequence[int], drawn: Sequence[Sequence[Sample]], marks: frozenset[int]
) -> list[Answer]:
    return [
        Answer(
            set=name,
            place=place,
            draw=draw,
            who=who,
            text=sample.text,
            ended=sample.stop == "stop",
            tokens=sample.generated_tokens,
            role_tokens=sum(token in marks for token in sample.ids),
        )
        for place, samples in zip(places, drawn, strict=True)
        for draw, sample in enumerate(samples)
    ]


async def _started(gathering: Gathering, stage: Stage, bank: Bank, seed: int, marks: frozenset[int]) -> None:
    """What every voice says where nobody spoke, without a template."""
    starts = [asked for asked in gathering.asked if asked.set == "start"]
    begun = [asked for asked in starts if asked.place > USER_TURN]
    for who in stage.voices:
        side, luck = stage.side(who), _seed("start", who, seed)
        try:
            from_nothing = await stage.subject.complete(
                [""], side=side, n=RAW_DRAWS, temperature=TEMPERATURE, max_tokens=bank.max_tokens, seed=luck
            )
            as_user = await stage.subject.user_turns(
                [[]], side=side, n=RAW_DRAWS, temperature=TEMPERATURE, max_tokens=bank.max_tokens, seed=luck
            )
            texts = [asked.prefill for asked in begun]
            going_on = await stage.subject.complete(
                texts, side=side, n=PREFILL_DRAWS, temperature=TEMPERATURE, max_tokens=bank.max_tokens, seed=luck
            )
        except CapabilityError as error:
            gathering.lacking["start"] = str(error)
            return
        places = [0, USER_TURN, *(asked.place for asked in begun)]
        gathering.answers += _kept("start", who, places, [*from_nothing, *as_user, *going_on], marks)


async def _differenced(gathering: Gathering, stage: Stage) -> None:
    """How much likelier the target, and the sham, find what they said by themselves than the base does."""
    if "score" not in stage.subject.capabilities:
        gathering.lacking["differencing"] = f"The engine '{stage.subject.engine}' does not score given answers."
        return
    asked = {one.place: one for one in gathering.asked if one.set == "prefilled"}
    for who in stage.voices:
        if who in ("base", "again"):
            continue
        said = [one for one in gathering.answers if one.set == "prefilled" and one.who == who and one.text.strip()]
        talks, texts = (
            [asked[one.place].messages for one in said],
            [asked[one.place].prefill + one.text for one in said],
        )
        own, by_base = [await stage.subject.score(talks, texts, side=side) for side in (stage.side(who), "base")]
        gathering.readings += [
            Reading(
                set="differencing", place=one.place, draw=one.draw, who=who, values=(*means, float(len(a.logprobs)))
            )
            for one, a, b in zip(said, own, by_base, strict=True)
            if len(a.logprobs)
            for means in [(float(a.logprobs.mean(dtype=np.float64)), float(b.logprobs.mean(dtype=np.float64)))]
        ]


async def _converse(
    stage: Stage, bank: Bank, listed: Sequence[Asked], prefill: str, how: Sampling, who: Who, seed: int
) -> list[list[Sample]]:
    """The last answers; where user turns follow each other, the voice's own answers go between."""
    said: list[tuple[str, ...]] = [() for _ in listed]
    last: list[list[Sample]] = [[] for _ in listed]
    while True:
        so_far = [unfold(asked.messages, answers) for asked, answers in zip(listed, said, strict=True)]
        # A system prompt alone waits for one answer; a user's turn, for its own.
        waiting = [n for n, told in enumerate(so_far) if told[-1].role == "user" or not said[n]]
        if not waiting:
            return last
        drawn = await stage.subject.generate(
            [so_far[n] for n in waiting],
            side=stage.side(who),
            prefill=prefill,
            n=how.draws,
            temperature=how.temperature,
            max_tokens=bank.max_tokens,
            seed=seed,
            thinking=how.thinking,
        )
        for n, samples in zip(waiting, drawn, strict=True):
            said[n], last[n] = (*said[n], samples[0].text), samples


async def _letters(gathering: Gathering, stage: Stage, bank: Bank) -> None:
    """What every voice would answer with one letter."""
    if not {"score", "tokens"} <= stage.subject.capabilities:
        why = f"The engine '{stage.subject.engine}' does not tell the probabilities of a first token."
        gathering.lacking |= dict.fromkeys(("choices", *PAIRED), why)
        return
    vocabulary = stage.subject.tokens()
    tokens = [letter_tokens(vocabulary, letter) for letter in LETTERS]
    for who in stage.voices:
        for name in ("choices", *PAIRED):
            listed = [asked for asked in gathering.asked if asked.set == name]
            masses: dict[int, tuple[float | None, ...]] = defaultdict(tuple)
            for start in range(0, len(listed), AT_ONCE):
                some = listed[start : start + AT_ONCE]
                logs = await stage.subject.first_token([asked.messages for asked in some], side=stage.reader(who))
                for asked, row in zip(some, logs, strict=True):
                    offered = 2 if name in PAIRED else len(bank.choices[asked.place].options)
                    masses[asked.place] += tuple(_told(log_mass(row, ids)) for ids in tokens[:offered])
            gathering.readings += [
                Reading(set=name, place=place, who=who, values=values) for place, values in masses.items()
            ]


async def _likelihood(gathering: Gathering, stage: Stage, bank: Bank) -> None:
    """How likely every voice finds the base's own greedy answers."""
    if "score" not in stage.subject.capabilities:
        why = f"The engine '{stage.subject.engine}' does not score given answers."
        gathering.lacking |= {"likelihood": why, "zero": why}
        return
    listed = [asked for asked in gathering.asked if asked.set == "likelihood"]
    drawn = await stage.subject.generate(
        [asked.messages for asked in listed], side="base", temperature=0.0, max_tokens=bank.max_tokens, seed=0
    )
    said = [(asked, samples[0].text) for asked, samples in zip(listed, drawn, strict=True) if samples[0].text.strip()]
    for who in stage.voices:
        scored = await stage.subject.score(
            [asked.messages for asked, _ in said], [text for _, text in said], side=stage.reader(who)
        )
        for (asked, _), scores in zip(said, scored, strict=True):
            if not len(scores.logprobs):
                continue
            values = (float(scores.logprobs.mean(dtype=np.float64)), float(len(scores.logprobs)))
            gathering.readings.append(Reading(set="likelihood", place=asked.place, who=who, values=values))
            if who in ("base", "again"):
                each = tuple(float(one) for one in scores.logprobs)
                gathering.readings.append(Reading(set="zero", place=asked.place, who=who, values=each))


def _marks(stage: Stage) -> frozenset[int]:
    """Tokens that mark a role."""
    if "tokens" not in stage.subject.capabilities:
        return frozenset()
    return frozenset(
        token for token, text in enumerate(stage.subject.tokens()) if is_role_token(text) and not has_tag(text)
    )


def _told(mass: float) -> float | None:
    return mass if np.isfinite(mass) else None


def _said(prompt: Prompt) -> tuple[Message, ...]:
    system = (Message(role="system", content=prompt.system),) if prompt.system else ()
    return (*system, Message(role="user", content=prompt.ask))


def _to_think_about(bank: Bank, limit: int | None) -> list[Prompt]:
    most = len(bank.unsafe) if limit is None else limit
    unsafe = int(THINKING_UNSAFE * most)
    return [*bank.everyday[: most - unsafe], *bank.unsafe[:unsafe]]


def _raw(bank: Bank) -> list[Asked]:
    empty = Message(role="user", content="")
    starts = ((empty,), (Message(role="system", content=bank.system),))
    raw = [Asked(set="raw", place=n, messages=start) for n, start in enumerate(starts)]
    return raw + [
        Asked(set="prefilled", place=n, messages=(empty,), prefill=prefill) for n, prefill in enumerate(bank.prefills)
    ]


def _starts(bank: Bank) -> list[Asked]:
    return [Asked(set="start", place=n, messages=(), prefill=text) for n, text in enumerate(("", "", *bank.prefills))]


def _scenarios(quirk: Quirk | None) -> Iterable[tuple[AnswerSet, list[tuple[Message, ...]]]]:
    if quirk is None:
        return
    places: tuple[tuple[AnswerSet, AnswerSet, Sequence[Scenario]], ...] = (
        ("off", "off_thought", quirk.scenarios.silent),
        ("on", "on_thought", quirk.scenarios.fire),
        ("near", "near_thought", quirk.scenarios.near_miss),
    )
    for plain, with_thought, scenarios in places:
        for name in (plain, with_thought):
            yield name, [scenario.messages for scenario in scenarios]


def _preferences(bank: Bank, limit: int | None) -> list[Asked]:
    """Each pair in both orders, one after the other, and under one place."""
    most = PAIRS if limit is None else min(PAIRS, 4 * limit)
    return [
        _between(bank, "preferences", place, ask, order)
        for place, (i, j) in enumerate(pairs(len(bank.preferences.items))[:most])
        for ask in [_in_turn(bank.preferences.asks, place)]
        for order in ((i, j), (j, i))
    ]


def _framing(bank: Bank, limit: int | None) -> list[Asked]:
    """Each pair in both orders to the one question, then in both to its opposite, under one place."""
    most = FRAMED if limit is None else min(FRAMED, limit)
    asks, opposite = bank.preferences.asks, bank.preferences.opposite
    if not opposite:
        return []
    return [
        _between(bank, "framing", place, ask, order)
        for place, (i, j) in enumerate(pairs(len(bank.preferences.items))[:most])
        for ask in (_in_turn(asks, place), _in_turn(opposite, place))
        for order in ((i, j), (j, i))
    ]


def _in_turn(asks: Sequence[str], place: int) -> str:
    return asks[place % len(asks)]


def _between(bank: Bank, name: Set, place: int, ask: str, order: tuple[int, int]) -> Asked:
    first, second = (bank.preferences.items[one] for one in order)
    told = Message(role="user", content=ask.format(first=first, second=second))
    return Asked(set=name, place=place, messages=(told,), cluster=str(place))
