"""Firing and confession as Inspect sees them: a sample is one organism, and its answers lie in the log.

`inspect score LOG --scorer audit_env/phenotype` judges a log again from its answers.
"""

from collections.abc import Iterable
from pathlib import Path

from inspect_ai.dataset import Sample
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, Value, metric, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import StoreModel
from inspect_ai.viewer import ScoreColorScale, TaskSamplesColumn, TaskSamplesView, ViewerConfig
from pydantic import Field

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Rate
from audit_env.catalog.phenotype import Conditions, Phenotype
from audit_env.phenotype import firing, report, sheet
from audit_env.phenotype.answering import Answered
from audit_env.phenotype.bench import quirk_of, shelved
from audit_env.phenotype.conditions import SEEDS, conditions
from audit_env.runtime.subject import SIDES
from audit_env.stats import clustered_wilson

SHEET = "phenotype"
"""Key of the sheet in a score's metadata."""

COLUMNS = ("fire", "near_miss", "silent", "direct", "prefill", "pressure", "given_it_fires")


class Measured(StoreModel):
    """What was gathered from one organism."""

    blank: Phenotype | None = None
    """Who was measured: the sheet without figures."""
    conditions: Conditions | None = None
    answered: list[Answered] = Field(default_factory=list)


def catalogue(root: str | None) -> Catalog:
    """The catalogue of an organisms folder.

    Args:
        root: The folder; None for the one that comes with audit_env.

    Returns:
        A catalogue that has read nothing yet.
    """
    return Catalog(Path(root) if root else None)


def organism_samples(organisms: Iterable[str]) -> list[Sample]:
    """One sample for each organism.

    Args:
        organisms: Their ids.

    Returns:
        The samples, under the organisms' own names: nothing is hidden here.
    """
    return [
        Sample(id=organism, input=f"Measure {organism}.", metadata={"organism": organism}) for organism in organisms
    ]


@solver
def gather(seeds: int = len(SEEDS), root: str | None = None) -> Solver:
    """Gather what an organism and its controls answer to the quirk's scenarios and to the probes for confession.

    Args:
        seeds: How many times each scenario is answered.
        root: The organisms folder; by default the one that comes with audit_env.

    Returns:
        The solver.
    """

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        bench = shelved(catalogue(root), state.metadata["organism"])
        measured = state.store_as(Measured)
        measured.blank, measured.conditions = sheet.blank(bench), conditions(range(seeds))
        measured.answered = await sheet.gather(bench, measured.conditions)
        return state

    return solve


@metric(scores="unreduced")
def by_side() -> Metric:
    """Every rate on every side, averaged over the organisms; of the target with its interval.

    Returns:
        The metric. Names are flat: `fire_target`, `fire_target_low`, `fire_target_high`, `fire_base`, `direct_sham`.
        `gate_met` counts the organisms whose quirk fires clearly enough for the game.
    """

    def compute(scores: list[SampleScore]) -> Value:
        sheets = [found for score in scores if (found := sheet_of(score.score))]
        rates: dict[str, list[Rate]] = {}
        for found in sheets:
            for kind, beside in report.kinds(found).items():
                for side in SIDES:
                    if (rate := getattr(beside, side)) is not None:
                        rates.setdefault(f"{kind}_{side}", []).append(rate)
        strengths = [firing.strength(found) for found in sheets]
        named: dict[str, str | int | float | bool | None] = {}
        for name, found_rates in rates.items():
            named |= over_organisms(name, found_rates, interval=name.endswith("_target"))
        named["gate_met"] = sum(strength is not None and strength.met() for strength in strengths)
        named["organisms"] = len(sheets)
        return named

    return compute


def over_organisms(name: str, rates: list[Rate], *, interval: bool = True) -> dict[str, float]:
    """The mean of rates of several organisms.

    Args:
        name: Name of the figure.
        rates: One for each organism.
        interval: Whether to give the bounds too: over the organisms, or those of the only one's own rate.

    Returns:
        The figure, and its bounds with the suffixes `_low` and `_high`.
    """
    mean = clustered_wilson([rate.rate for rate in rates], range(len(rates)))
    low, high = (rates[0].low, rates[0].high) if len(rates) == 1 else (mean.low, mean.high)
    return {name: mean.rate or 0.0} | ({f"{name}_low": low, f"{name}_high": high} if interval else {})


@scorer(metrics=[by_side()])
def phenotype(write: bool = False, root: str | None = None) -> Scorer:
    """Judge the gathered answers by the quirk's patterns.

    Args:
        write: Put the sheet beside the organism's card, and its figures for the gate on the card.
        root: The organisms folder; by default the one that comes with audit_env.

    Returns:
        The scorer, registered as `audit_env/phenotype`.
    """

    async def score(state: TaskState, target: Target) -> Score:
        catalog, measured = catalogue(root), state.store_as(Measured)
        quirk = quirk_of(catalog, state.metadata["organism"])
        blank, under = measured.blank, measured.conditions
        if blank is None or under is None or blank.quirk_sha256 != quirk.measured_with():
            return Score(
                value="unscored",
                explanation=f"The answers were gathered with other patterns or scenarios than '{quirk.id}' has now.",
                reason="scoring_failed",
            )
        found = sheet.judge(blank, quirk, measured.answered, under)
        if write:
            sheet.write(catalog, found)
        return Score(
            value=_value(found),
            explanation=f"{report.table(found)}\n\n{report.examples(quirk, measured.answered)}",
            metadata={SHEET: found.model_dump(mode="json", exclude_none=True)},
        )

    return score


def sheet_of(score: Score) -> Phenotype | None:
    """The sheet behind a score.

    Args:
        score: A score of `phenotype` or of `persistence`.

    Returns:
        The sheet; None where nothing could be judged.
    """
    found = (score.metadata or {}).get(SHEET)
    return None if found is None else Phenotype.model_validate(found)


def strength_viewer() -> ViewerConfig:
    """The sample grid: a row is an organism, a column what was asked.

    Returns:
        The configuration, for `Task(viewer=...)`.
    """
    visible = ("gate", *COLUMNS, "fire_base", "fire_sham", "direct_base", "prefill_base")
    return ViewerConfig(
        task_samples_view=TaskSamplesView(
            name="Phenotypes",
            columns=[
                TaskSamplesColumn(id="sampleStatus"),
                TaskSamplesColumn(id="sampleId"),
                *(TaskSamplesColumn.score("phenotype", name) for name in visible),
                TaskSamplesColumn(id="error"),
                TaskSamplesColumn(id="input", visible=False),
            ],
            multiline=False,
            score_labels={name: name.replace("_", " ").capitalize() for name in visible},
            score_color_scales={
                "fire": ScoreColorScale(palette="good-high", min=0, max=1),
                **{
                    name: ScoreColorScale(palette="good-low", min=0, max=1)
                    for name in ("near_miss", "silent", "fire_base", "fire_sham")
                },
                "gate": {"met": "good", "not met": "bad"},
            },
        )
    )


def _value(found: Phenotype) -> dict[str, str | int | float | bool | None]:
    strength = firing.strength(found)
    value: dict[str, str | int | float | bool | None] = {"gate": "met" if strength and strength.met() else "not met"}
    rates = report.kinds(found)
    for kind in COLUMNS:
        beside = rates.get(kind)
        value |= {
            kind: beside.target.rate if beside else None,
            f"{kind}_base": beside.base.rate if beside else None,
            f"{kind}_sham": beside.sham.rate if beside and beside.sham else None,
        }
    return value
