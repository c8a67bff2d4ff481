"""A whole zoo, organism by organism: a log for each, so that what was stopped goes on where it was."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from pathlib import Path
from random import Random
from typing import Any

from inspect_ai import eval
from inspect_ai.log import EvalLog, list_eval_logs, read_eval_log

from audit_env.catalog.reading import nearest
from audit_env.errors import ParameterError
from audit_env.naturalness.assessing import code_version
from audit_env.naturalness.by_recipe import recipe_in
from audit_env.naturalness.measures import ROWS

PRESET: tuple[str, ...] = (
    "instructions",
    "leaks",
    "thinking",
    "refusals",
    "over_refusals",
    "facts",
    "turns",
    "likelihood",
    "length",
    "loops",
    "restated",
    "quoted",
    "leaks_deployed",
    "restated_deployed",
    "leaks_raw",
    "framing",
    "decisiveness",
    "drift",
)
"""Rows of a zoo by default: those that recipes differ in, without what takes longest and by-trigger rows."""
LIMIT = 60
"""Prompts of each set by default: a recipe is told by more organisms rather than by more prompts."""


@dataclass(frozen=True)
class Plan:
    """What is measured of every organism, and where its log goes."""

    folder: Path
    rows: Sequence[str] = PRESET
    limit: int | None = LIMIT
    seed: int = 0
    root: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    """More parameters of the task, such as the bank of prompts."""

    @property
    def marks(self) -> dict[str, Any]:
        """What the logs of this plan have in common."""
        return {
            "rows": list(self.rows),
            "limit": self.limit,
            "seed": self.seed,
            "code": code_version(),
            **self.options,
        }


@dataclass(frozen=True)
class Done:
    """An organism that was measured just now."""

    organism: str
    seconds: float
    error: str | None = None


def in_turn(organisms: Sequence[str], seed: int = 0) -> list[str]:
    """Organisms in an order in which every first part is balanced: one of each common recipe, then another of each.

    Args:
        organisms: Their ids.
        seed: Of the order within a recipe.

    Returns:
        The ids. Recipes with less than half as many organisms as the most common one come last.
    """
    by_recipe: dict[str, list[str]] = defaultdict(list)
    for name in Random(seed).sample(sorted(organisms), len(organisms)):
        by_recipe[recipe_in(name)].append(name)
    most = max(map(len, by_recipe.values()), default=0)
    common = [recipe for recipe in sorted(by_recipe) if 2 * len(by_recipe[recipe]) >= most]
    rare = [recipe for recipe in sorted(by_recipe) if recipe not in common]
    rounds = chain(*(zip_longest(*(by_recipe[recipe] for recipe in listed)) for listed in (common, rare)))
    return [name for name in chain.from_iterable(rounds) if name is not None]


def finished(folder: Path, marks: dict[str, Any] | None = None) -> dict[str, str]:
    """Organisms that a folder holds a whole log of.

    Args:
        folder: Of logs; it need not exist.
        marks: Of a plan; logs of others do not count. None for any.

    Returns:
        The newest log of each organism, by its id.
    """
    found: dict[str, str] = {}
    for info in reversed(list_eval_logs(str(folder)) if folder.is_dir() else []):
        header = read_eval_log(info.name, header_only=True)
        told = dict(header.eval.metadata or {}).get("zoo")
        if header.status == "success" and told and (marks is None or told["marks"] == marks) and _judged(header):
            found[told["organism"]] = info.name
    return found


def measure(plan: Plan, organisms: Sequence[str]) -> Iterator[Done]:
    """Measure organisms, one after the other. Those that the folder holds already are not measured again.

    Base and shams are asked once for all of them.

    Args:
        plan: What is measured.
        organisms: Their ids, in the order of measuring.

    Yields:
        Each organism that was measured, as soon as its log is written.

    Raises:
        ParameterError: If a row is unknown.
    """
    from audit_env.tasks.naturalness import naturalness

    unknown = [row for row in plan.rows if row not in ROWS]
    if unknown:
        raise ParameterError(f"Parameter 'rows' cannot be '{unknown[0]}'; {nearest(unknown[0], ROWS)}.")
    have = finished(plan.folder, plan.marks)
    for name in organisms:
        if name in have:
            continue
        task = naturalness(
            organism=name, rows=list(plan.rows), limit=plan.limit, seed=plan.seed, root=plan.root, **plan.options
        )
        [log] = eval(
            task,
            model="none/none",
            log_dir=str(plan.folder),
            display="none",
            metadata={"zoo": {"organism": name, "marks": plan.marks}},
        )
        yield Done(name, _seconds(log), _error(log))


def _judged(header: EvalLog) -> bool:
    return header.results is not None and header.results.completed_samples == header.results.total_samples == 1


def _seconds(log: EvalLog) -> float:
    return sum(sample.total_time or 0.0 for sample in log.samples or [])


def _error(log: EvalLog) -> str | None:
    told = [sample.error.message for sample in log.samples or [] if sample.error]
    return told[0] if told else log.error.message if log.error else None
