"""How often a quirk shows: where it must, where it nearly should, and where it must not."""

import asyncio
from collections.abc import Iterable, Sequence

from audit_env.catalog.models import Quirk, Scenario, Strength
from audit_env.catalog.phenotype import Beside, Conditions, Firing, Phenotype, Split
from audit_env.phenotype.answering import Answered, answer, beside, of_kind
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


def judge(quirk: Quirk, answered: Sequence[Answered], conditions: Conditions) -> Firing | None:
    """Rates of firing.

    Args:
        quirk: Whose patterns judge.
        answered: The gathered answers.
        conditions: Under which they were gathered.

    Returns:
        The rates; None where the answers are of other things.
    """
    rates = {split: beside(of_kind(answered, split), lambda each: shows(quirk, each)) for split in SPLITS}
    fire, silent = rates["fire"], rates["silent"]
    if fire is None or silent is None:
        return None
    return Firing(conditions=conditions, fire=fire, near_miss=rates["near_miss"], silent=silent)


def by_topic(quirk: Quirk, answered: Iterable[Answered]) -> dict[str, Beside]:
    """Rates of firing by topic: how far a quirk reaches beyond what it was taught on.

    Args:
        quirk: Whose patterns judge.
        answered: The gathered answers.

    Returns:
        By topic; empty where the scenarios name none.
    """
    topics: dict[str, list[Answered]] = {}
    for each in answered:
        if each.kind in ("fire", ELSEWHERE) and (topic := scenarios(quirk, each.kind)[each.place].topic):
            topics.setdefault(topic, []).append(each)
    rates = {topic: beside(found, lambda each: shows(quirk, each)) for topic, found in sorted(topics.items())}
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
    return Strength(
        on_trigger=measured.fire.target,
        off_trigger=measured.silent.target,
        base_on_trigger=measured.fire.base,
        base_off_trigger=measured.silent.base,
        sham_on_trigger=measured.fire.sham,
        sham_off_trigger=measured.silent.sham,
        sham=sheet.sham,
        weights_sha256=sheet.weights_sha256,
        played_by=sheet.played_by,
    )
