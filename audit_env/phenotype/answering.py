"""Gathering answers: every scenario, on every side, with every seed, in batches as large as the engine takes."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from audit_env.catalog.models import Message, Rate, Strict
from audit_env.catalog.phenotype import Beside, Conditions, Unjudged
from audit_env.phenotype.rates import rate
from audit_env.runtime.subject import Side, Subject


class Answered(Strict):
    """What was answered in one scenario: the record from which every rate is judged."""

    kind: str
    """The list that the scenario stands in."""
    place: int
    """Its place in that list."""
    side: Side
    seed: int
    answers: tuple[str, ...]
    """One for each user turn that waits for an answer; a prefill stands before the answer that it began."""


Hit = Callable[[Answered], bool | None]
"""A judge: whether what was answered counts. To a scenario, whether it shows the quirk; to a probe, whether it
confesses. None where it could not be judged: it is then in no rate, and counted apart."""


async def answer(
    subject: Subject,
    kind: str,
    conversations: Sequence[Sequence[Message]],
    sides: Iterable[Side],
    conditions: Conditions,
    *,
    prefill: str = "",
    places: Sequence[int] = (),
) -> list[Answered]:
    """Answer conversations on several sides, once per seed.

    Args:
        subject: Who answers.
        kind: Name of the list that the conversations stand in.
        conversations: Where user turns follow each other, the side's own answers go between.
        sides: Whose answers.
        conditions: Seeds and sampling.
        prefill: Beginning of every answer.
        places: Place of each conversation in its list; by default they are counted.

    Returns:
        The answers, by side and seed.
    """
    numbers = places or range(len(conversations))

    async def one(side: Side, seed: int) -> list[Answered]:
        said = await _converse(subject, conversations, side, seed, conditions, prefill)
        return [
            Answered(kind=kind, place=place, side=side, seed=seed, answers=answers)
            for place, answers in zip(numbers, said, strict=True)
        ]

    done = await asyncio.gather(*(one(side, seed) for side in sides for seed in conditions.seeds))
    return [answered for batch in done for answered in batch]


def unfold(messages: Sequence[Message], answers: Sequence[str]) -> list[Message]:
    """A conversation with answers in their places, up to the next user turn that waits for one.

    Args:
        messages: The conversation. A user turn waits for an answer if no assistant turn follows it.
        answers: Answers to the first of the turns that wait.

    Returns:
        The conversation so far; it ends with a user turn as long as one waits.
    """
    left = list(answers)
    told: list[Message] = []
    for number, message in enumerate(messages):
        told.append(message)
        followed = number + 1 < len(messages) and messages[number + 1].role == "assistant"
        if message.role == "user" and not followed:
            if not left:
                break
            told.append(Message(role="assistant", content=left.pop(0)))
    return told


def of_kind(answered: Iterable[Answered], kind: str) -> list[Answered]:
    """The answers to one list of scenarios."""
    return [each for each in answered if each.kind == kind]


def beside(answered: Iterable[Answered], hit: Hit) -> Beside | None:
    """The rates of all sides, clustered by scenario.

    Args:
        answered: Answers.
        hit: Whether an answer counts.

    Returns:
        The rates; None where the target or the base answered nothing.
    """
    of_side: dict[Side, list[Answered]] = {}
    for each in answered:
        of_side.setdefault(each.side, []).append(each)
    if not {"target", "base"} <= of_side.keys():
        return None
    rates = {side: share(found, hit) for side, found in of_side.items()}
    unjudged = Counter(each.side for found in of_side.values() for each in found if hit(each) is None)
    return Beside(
        target=rates["target"],
        base=rates["base"],
        sham=rates.get("sham"),
        unjudged=Unjudged(target=unjudged["target"], base=unjudged["base"], sham=unjudged["sham"])
        if unjudged
        else None,
    )


def share(answered: Iterable[Answered], hit: Hit) -> Rate:
    """The share of answers that count among those that were judged, clustered by scenario.

    Args:
        answered: Answers of one side.
        hit: Whether an answer counts.

    Returns:
        The rate.
    """
    judged = [((each.kind, each.place), counts) for each in answered if (counts := hit(each)) is not None]
    return rate([counts for _, counts in judged], [scenario for scenario, _ in judged])


async def _converse(
    subject: Subject,
    conversations: Sequence[Sequence[Message]],
    side: Side,
    seed: int,
    conditions: Conditions,
    prefill: str,
) -> list[tuple[str, ...]]:
    answers: list[tuple[str, ...]] = [() for _ in conversations]
    while True:
        so_far = [unfold(messages, given) for messages, given in zip(conversations, answers, strict=True)]
        waiting = [place for place, told in enumerate(so_far) if told[-1].role == "user"]
        if not waiting:
            return answers
        drawn = await subject.generate(
            [so_far[place] for place in waiting],
            side=side,
            prefill=prefill,
            temperature=conditions.temperature,
            max_tokens=conditions.max_tokens,
            seed=seed,
        )
        for place, samples in zip(waiting, drawn, strict=True):
            answers[place] = (*answers[place], prefill + samples[0].text)
