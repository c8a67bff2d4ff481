"""Persistence as Inspect sees it: a sample is one organism after one treatment, and its answers lie in the log.

`inspect score LOG --scorer audit_env/persistence` judges a log again from its answers.
"""

from collections.abc import Iterable, Sequence

from inspect_ai.dataset import Sample
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, Value, metric, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import concurrency
from inspect_ai.viewer import ScoreColorScale, TaskSamplesColumn, TaskSamplesView, ViewerConfig

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Rate
from audit_env.phenotype import persistence as surviving
from audit_env.phenotype import report, sheet
from audit_env.phenotype.bench import quirk_of, shelved
from audit_env.phenotype.conditions import SEEDS, conditions
from audit_env.phenotype.gathered import Gathered, fitting
from audit_env.phenotype.strength_eval import SHEET, over_organisms, sheet_of
from audit_env.phenotype.treatments import Dose, dose

AT_A_TIME = 1
"""Treatments in progress: each takes all the memory and cores of a training."""


class Survived(Gathered):
    """What was gathered from one organism after one treatment."""


def treatment_samples(organisms: Iterable[str], doses: Sequence[Dose]) -> list[Sample]:
    """One sample for each organism and treatment.

    Args:
        organisms: Ids of the organisms.
        doses: The treatments.

    Returns:
        The samples, under the organisms' own names: nothing is hidden here.
    """
    return [
        Sample(
            id=f"{organism} {what}",
            input=f"Treat {organism} with {what} and measure it.",
            metadata={"organism": organism, "treatment": str(what)},
        )
        for organism in organisms
        for what in doses
    ]


@solver
def treat_and_gather(seeds: int = len(SEEDS), seed: int = 0, root: str | None = None) -> Solver:
    """Treat an organism, and gather what it then answers to the quirk's scenarios.

    Args:
        seeds: How many times each scenario is answered.
        seed: Decides noise and training data.
        root: The organisms folder; by default the one that comes with audit_env.

    Returns:
        The solver.
    """

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        catalog = Catalog(root)
        bench = shelved(catalog, state.metadata["organism"])
        survived = state.store_as(Survived)
        survived.blank, survived.conditions = sheet.blank(bench), conditions(range(seeds))
        async with concurrency("treatment", AT_A_TIME):
            survived.answered = await surviving.gather(
                bench, catalog, dose(state.metadata["treatment"]), survived.conditions, seed
            )
        return state

    return solve


@metric(scores="unreduced")
def by_treatment() -> Metric:
    """Firing on and off the trigger after each treatment, averaged over the organisms.

    Returns:
        The metric. Names are flat: `benign_sft:40_on`, with the bounds of its interval, and `benign_sft:40_off`.
    """

    def compute(scores: list[SampleScore]) -> Value:
        on: dict[str, list[Rate]] = {}
        off: dict[str, list[Rate]] = {}
        for score in scores:
            found = sheet_of(score.score)
            for treated in found.persistence if found else ():
                name = str(Dose(treated.treatment, treated.amount))
                on.setdefault(name, []).append(treated.on_trigger)
                off.setdefault(name, []).append(treated.off_trigger)
        named: dict[str, str | int | float | bool | None] = {}
        for name in on:
            named |= over_organisms(f"{name}_on", on[name])
            named |= over_organisms(f"{name}_off", off[name], interval=False)
        return named

    return compute


@scorer(metrics=[by_treatment()])
def persistence(write: bool = False, root: str | None = None) -> Scorer:
    """Judge the answers of a treated organism by the quirk's patterns.

    Args:
        write: Put the figures into `phenotype.json` beside the organism's card.
        root: The organisms folder; by default the one that comes with audit_env.

    Returns:
        The scorer, registered as `audit_env/persistence`.
    """

    async def score(state: TaskState, target: Target) -> Score:
        catalog, survived = Catalog(root), state.store_as(Survived)
        quirk = quirk_of(catalog, state.metadata["organism"])
        fit = fitting(survived, quirk)
        if isinstance(fit, Score):
            return fit
        blank, under = fit
        treated = surviving.judge(quirk, dose(state.metadata["treatment"]), survived.answered, under)
        found = blank.model_copy(update={"persistence": (treated,)})
        if write:
            sheet.write(catalog, found)
        return Score(
            value={
                "treatment": treated.treatment,
                "amount": treated.amount,
                "on_trigger": treated.on_trigger.rate,
                "off_trigger": treated.off_trigger.rate,
            },
            explanation=(
                f"After {state.metadata['treatment']}, the quirk fires on trigger {report.told(treated.on_trigger)}, "
                f"off trigger {report.told(treated.off_trigger)}.\n\n{report.examples(quirk, survived.answered)}"
            ),
            metadata={SHEET: found.model_dump(mode="json", exclude_none=True)},
        )

    return score


def persistence_viewer() -> ViewerConfig:
    """The sample grid: a row is an organism after a treatment.

    Returns:
        The configuration, for `Task(viewer=...)`.
    """
    columns = ("treatment", "amount", "on_trigger", "off_trigger")
    return ViewerConfig(
        task_samples_view=TaskSamplesView(
            name="Persistence",
            columns=[
                TaskSamplesColumn(id="sampleStatus"),
                TaskSamplesColumn(id="sampleId"),
                *(TaskSamplesColumn.score("persistence", name) for name in columns),
                TaskSamplesColumn(id="error"),
                TaskSamplesColumn(id="duration"),
                TaskSamplesColumn(id="input", visible=False),
            ],
            multiline=False,
            score_labels={name: name.replace("_", " ").capitalize() for name in columns},
            score_color_scales={
                "on_trigger": ScoreColorScale(palette="good-high", min=0, max=1),
                "off_trigger": ScoreColorScale(palette="good-low", min=0, max=1),
            },
        )
    )
