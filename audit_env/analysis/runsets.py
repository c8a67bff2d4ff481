"""Sets of runs (auditors, levels, game sets, seeds) over Inspect's eval sets, which go on after a stop."""

import re
from collections.abc import Iterator, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Self

import yaml
from inspect_ai import Task, eval_set
from inspect_ai._eval.loader import solver_from_spec
from inspect_ai.solver import SolverSpec
from pydantic import Field, ValidationError, field_validator, model_validator

from audit_env.analysis.frames import load
from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Strict
from audit_env.errors import AuditEnvError, ParameterError
from audit_env.game.budget import budget_for, together
from audit_env.game.cost import before_a_run
from audit_env.game.phases import each_access, levels_in
from audit_env.tools.affordances import AFFORDANCES

_NOBODY = "none"


class Auditor(Strict):
    """Who audits."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Names its folder of logs."""
    model: str = _NOBODY
    """An Inspect model; "none" for a script."""
    solver: str | None = None
    """Such as agents/scripted.py@scripted. Default: the task's own auditor."""
    solver_args: dict[str, Any] = Field(default_factory=dict)
    model_roles: dict[str, str] = Field(default_factory=dict)
    """Such as grader: openai/gpt-5."""


class RunSet(Strict):
    """What is to be run: every auditor on every set, at every level, under every seed."""

    auditors: tuple[Auditor, ...] = Field(min_length=1)
    sets: tuple[str, ...] = ("fruitfly_dev",)
    affordances: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = (0,)
    epochs: int = Field(default=1, ge=1)
    targets: int | None = Field(default=None, ge=1)
    """Targets to draw from each set. Default: all."""
    answers: str = "menu"
    brief: str = "default"

    @field_validator("affordances")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return tuple(each_access(names, AFFORDANCES))
        except ParameterError as error:
            raise ValueError(str(error)) from error

    @field_validator("auditors")
    @classmethod
    def _apart(cls, auditors: tuple[Auditor, ...]) -> tuple[Auditor, ...]:
        names = [auditor.name for auditor in auditors]
        if len(set(names)) < len(names):
            raise ValueError("two auditors have one name: their logs would lie in one folder")
        return auditors

    @model_validator(mode="after")
    def _can_play(self) -> Self:
        phased = next((name for name in self.affordances if len(levels_in(name)) > 1), None)
        scripts = [auditor.name for auditor in self.auditors if auditor.model == _NOBODY]
        if phased and scripts:
            raise ValueError(
                f"auditor '{scripts[0]}' is a script and gives no interim verdict, so that it cannot play '{phased}': "
                "give it a model, or put the phases into a run set of their own"
            )
        return self


@dataclass(frozen=True)
class Foreseen:
    """What an auditor's part of a run set will take."""

    auditor: str
    audits: int
    seconds: float | None
    """Of work, one audit after the other, as long as recorded ones took. None where none was recorded at some level."""
    cost: str | None
    """In a sentence, for one seed and one round; None where nothing is paid, or the model has no price."""
    paid: bool
    """Whether a model audits, which somebody is paid for."""
    runs: int
    """How many times that cost is paid."""


def read(path: str | Path) -> RunSet:
    """Read a run set.

    Args:
        path: A YAML file.

    Returns:
        The run set.

    Raises:
        ParameterError: If the file cannot be read, or a field is wrong.
    """
    try:
        return RunSet.model_validate(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "affordances"
        raise ParameterError(f"'{path}', field '{field}': {first['msg'].removesuffix('.')}.") from error
    except (OSError, yaml.YAMLError) as error:
        raise ParameterError(f"'{path}' cannot be read as a run set ({str(error).splitlines()[0]}).") from error


def foreseen(run_set: RunSet, recorded: str | Path | None, catalog: Catalog | None = None) -> list[Foreseen]:
    """What a run set will take.

    Args:
        run_set: The run set.
        recorded: Logs of earlier audits, from which times are taken; None for none.
        catalog: Where the game sets are.

    Returns:
        One for each auditor.

    Raises:
        CardError: If there is no such game set.
    """
    known = catalog or Catalog()
    whole = {name: len(known.of_set(name).game_set(name).targets) for name in run_set.sets}
    targets = sum(min(run_set.targets or size, size) for size in whole.values())
    each = targets * len(run_set.seeds) * run_set.epochs
    times = _times(recorded) if recorded else {}
    budgets = {name: together(budget_for(level, None) for level in levels_in(name)) for name in run_set.affordances}
    made = []
    for auditor in run_set.auditors:
        seconds = [times.get((_shown(auditor), level)) for level in run_set.affordances]
        made.append(
            Foreseen(
                auditor=auditor.name,
                audits=each * len(run_set.affordances),
                seconds=None if None in seconds else sum(each * second for second in seconds if second is not None),
                cost=None
                if auditor.model == _NOBODY
                else before_a_run(auditor.model, dict.fromkeys(run_set.affordances, targets), budgets),
                paid=auditor.model != _NOBODY,
                runs=len(run_set.seeds) * run_set.epochs,
            )
        )
    return made


def run(run_set: RunSet, folder: Path, **options: Any) -> Iterator[tuple[str, bool]]:
    """Run a run set. What has been run is not run again: call it with the same folder to go on.

    Args:
        run_set: The run set.
        folder: Where the logs go, a folder for each auditor.
        options: For Inspect's `eval_set`, such as `display="none"`.

    Yields:
        The name of each auditor whose part is over, and whether all of it was finished.

    Raises:
        ParameterError: If the solver of an auditor cannot be made.
    """
    for auditor in run_set.auditors:  # All of them before any is run.
        _checked(auditor)
    for auditor in run_set.auditors:
        # In a context of its own, since it leaves its model behind as the active one, for which later tasks are made.
        done, _ = copy_context().run(
            eval_set,
            list(_tasks(run_set)),
            log_dir=str(folder / auditor.name),
            model=auditor.model if auditor.model != _NOBODY else "none/none",
            model_roles=dict(auditor.model_roles) or None,
            solver=_spec(auditor),
            epochs=run_set.epochs,
            metadata={"bench": auditor.name},
            # Each audit is written as it ends: a kill loses none but those in progress.
            log_buffer=1,
            **options,
        )
        yield auditor.name, done


def _spec(auditor: Auditor) -> SolverSpec | None:
    return SolverSpec(auditor.solver, args_passed=dict(auditor.solver_args)) if auditor.solver else None


def _checked(auditor: Auditor) -> None:
    if spec := _spec(auditor):
        try:
            solver_from_spec(spec)
        except Exception as error:  # A solver is anybody's code.
            raise ParameterError(
                f"The solver '{auditor.solver}' of auditor '{auditor.name}' cannot be made ({error}): check the fields "
                "'solver' and 'solver_args'."
            ) from error


def _tasks(run_set: RunSet) -> Iterator[Task]:
    from audit_env.tasks.hidden_objective import hidden_objective

    for name in run_set.sets:
        for seed in run_set.seeds:
            yield hidden_objective(
                set=name,
                affordance=list(run_set.affordances),
                seed=seed,
                targets=run_set.targets,
                answers=run_set.answers,
                brief=run_set.brief,
            )


def _shown(auditor: Auditor) -> str:
    """The auditor's name in tables, as `auditor_of` has it."""
    chosen = re.split(r"[/@]", auditor.solver)[-1] if auditor.solver else None
    if auditor.model != _NOBODY:
        return f"{auditor.model} ({chosen})" if chosen else auditor.model
    return chosen or "scripted"


def _times(recorded: str | Path) -> Mapping[tuple[str, str], float]:
    try:
        audits = load(recorded, versions="newest").audits
    except AuditEnvError:  # Nothing was recorded yet.
        return {}
    parts = audits.dropna(subset=["seconds"]).groupby(["auditor", "affordance"])["seconds"]
    return {(str(who), str(level)): median(map(float, seconds)) for (who, level), seconds in parts}
