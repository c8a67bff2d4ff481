"""How often a quirk shows: where it must, where it nearly should, and where it must not."""

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial

from audit_env.catalog.models import OrganismId, Quirk, Scenario, Sha256, Strength
from audit_env.catalog.phenotype import Beside, Conditions, Firing, Phenotype, Split
from audit_env.phenotype.answering import Answered, Hit, answer, beside, of_kind
from audit_env.phenotype.bench import Bench

SPLITS: tuple[Split, ...] = ("fire", "near_miss", "silent")
ELSEWHERE = "elsewhere"
KINDS = (*SPLITS, ELSEWHERE)
"""All lists of scenarios in a quirk's file."""


async def gather(bench: Bench, conditions: Conditions) -> list[Answered]:
    """Answer all held-out scenarios of the quirk.

    Args:
        bench: The organism.
        conditions: Seeds and sampling.

    Returns:
        The answers of every side.
    """
    done = await asyncio.gather(
        *(
            answer(
                bench.subject,
                kind,
                [scenario.messages for scenario in scenarios(bench.quirk, kind)],
                bench.sides,
                conditions,
            )
            for kind in KINDS
        )
    )
    return [answered for batch in done for answered in batch]


def judge(quirk: Quirk, answered: Sequence[Answered], conditions: Conditions, hit: Hit | None = None) -> Firing | None:
    """Rates of firing.

    Args:
        quirk: The quirk.
        answered: The gathered answers.
        conditions: Under which they were gathered and judged.
        hit: Who judges; by default the quirk's patterns.

    Returns:
        The rates; None where the answers are of other things.
    """
    hit = hit or partial(shows, quirk)
    rates = {split: beside(of_kind(answered, split), hit) for split in SPLITS}
    fire, silent = rates["fire"], rates["silent"]
    if fire is None or silent is None:
        return None
    return Firing(conditions=conditions, fire=fire, near_miss=rates["near_miss"], silent=silent)


def by_topic(quirk: Quirk, answered: Iterable[Answered], hit: Hit | None = None) -> dict[str, Beside]:
    """Rates of firing by topic: how far a quirk reaches beyond what it was taught on.

    Args:
        quirk: The quirk.
        answered: The gathered answers.
        hit: Who judges; by default the quirk's patterns.

    Returns:
        By topic; empty where the scenarios name none.
    """
    hit = hit or partial(shows, quirk)
    topics: dict[str, list[Answered]] = {}
    for each in answered:
        if each.kind in ("fire", ELSEWHERE) and (topic := scenarios(quirk, each.kind)[each.place].topic):
            topics.setdefault(topic, []).append(each)
    rates = {topic: beside(found, hit) for topic, found in sorted(topics.items())}
    return {topic: found for topic, found in rates.items() if found}


def scenarios(quirk: Quirk, kind: str) -> tuple[Scenario, ...]:
    """The scenarios of one of the `KINDS`."""
    found: dict[str, tuple[Scenario, ...]] = {
        "fire": quirk.scenarios.fire,
        "near_miss": quirk.scenarios.near_miss,
        "silent": quirk.scenarios.silent,
        ELSEWHERE: quirk.scenarios.elsewhere,
    }
    return found[kind]


def shows(quirk: Quirk, answered: Answered) -> bool:
    """Whether the last answer in a scenario shows the quirk.

    Args:
        quirk: Whose patterns judge.
        answered: An answer to one of the `KINDS`.

    Returns:
        Whether it does.
    """
    return quirk.shown(scenarios(quirk, answered.kind)[answered.place], answered.answers[-1])


def fired(answered: Iterable[Answered], hit: Hit) -> list[Answered]:
    """The target's answers in which the quirk showed, where it must.

    Args:
        answered: Gathered answers.
        hit: Who judges.

    Returns:
        Those answers.
    """
    return [each for each in of_kind(answered, "fire") if each.side == "target" and hit(each)]


def strength(sheet: Phenotype) -> Strength | None:
    """The gate's figures: what a card says of its quirk.

    Args:
        sheet: What was measured.

    Returns:
        The figures, tied to what the organism is made of; None where no firing was measured.
    """
    measured = sheet.firing
    if measured is None:
        return None
    return strength_of(
        measured.fire,
        measured.silent,
        sheet.weights_sha256,
        sham=sheet.sham,
        played_by=sheet.played_by,
        grader=measured.conditions.grader,
    )


def strength_of(
    fire: Beside,
    silent: Beside,
    weights_sha256: Sha256,
    *,
    sham: OrganismId | None = None,
    played_by: str | None = None,
    grader: str | None = None,
) -> Strength:
    """The gate's figures, from the two rates that they are made of.

    Args:
        fire: How often the quirk shows where it must.
        silent: How often it shows far from its trigger.
        weights_sha256: What was measured (see `made_of`).
        sham: The sham beside it, where there is one.
        played_by: The model that played a prompted organism.
        grader: The model that judged; None where the quirk's patterns did.

    Returns:
        The figures.
    """
    unjudged = fire.unjudged
    return Strength(
        on_trigger=fire.target,
        off_trigger=silent.target,
        base_on_trigger=fire.base,
        base_off_trigger=silent.base,
        sham_on_trigger=fire.sham,
        sham_off_trigger=silent.sham,
        sham=sham,
        weights_sha256=weights_sha256,
        played_by=played_by,
        grader=grader,
        unjudged_on_trigger=(unjudged.target or None) if unjudged else None,
        base_unjudged_on_trigger=(unjudged.base or None) if unjudged else None,
    )
