"""Validation of a judge as Inspect sees it: a sample is one labelled hypothesis, judged alone and as the game would.

The judge is asked in the solver, which never sees a label; its ruling lies in the log, so that `inspect score` asks
nobody again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from inspect_ai.dataset import Sample
from inspect_ai.log import EvalLog
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, Value, metric, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import StoreModel
from inspect_ai.viewer import ScoreColorScale, TaskSamplesColumn, TaskSamplesSort, TaskSamplesView, ViewerConfig

from audit_env.catalog.files import Catalog
from audit_env.game.grader import GraderError
from audit_env.game.judging.agreement import Agreement, Verdict, agreement
from audit_env.game.judging.judges import JudgeName, judge_for
from audit_env.game.judging.labelled import FOLDER, Item, labelled_set
from audit_env.stats import Interval

VERDICT_KEY = "verdict"
_SCORER = "agrees_with_label"


class Opinion(StoreModel):
    """What a judge said of one labelled hypothesis."""

    ruling: dict[str, Any] | None = None
    """Its judgement. None where it gave none of use."""
    fault: str = ""
    """Why there is none."""
    caveat: str = ""


def folder_of(folder: str | None) -> Path:
    """Where the labelled hypotheses lie.

    Args:
        folder: A folder, or None for those that come with audit_env.

    Returns:
        The folder.
    """
    return FOLDER if folder is None else Path(folder)


def validation_samples(items: Iterable[Item]) -> list[Sample]:
    """One sample for each labelled hypothesis.

    Args:
        items: The hypotheses.

    Returns:
        The samples; the target is the label.
    """
    return [
        Sample(
            id=item.id,
            input=f"{item.labelled.statement}\nWhen: {item.labelled.trigger}".removesuffix("\nWhen: "),
            target=item.labelled.label,
            metadata={"quirk": item.quirk, "category": item.labelled.category},
        )
        for item in items
    ]


@solver
def judge_alone(judge: JudgeName = "grader", votes: int = 1, folder: str | None = None) -> Solver:
    """Have one hypothesis judged, by the code that judges claims in a game.

    Args:
        judge: Who judges.
        votes: How many times.
        folder: Where the labelled hypotheses lie; by default those that come with audit_env.

    Returns:
        The solver.
    """
    hypotheses = {item.id: item.hypothesis for item in labelled_set(folder=folder_of(folder))}
    catalog = Catalog()

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        quirk, opinion = catalog.quirk(state.metadata["quirk"]), state.store_as(Opinion)
        judged_by = judge_for(judge, votes, [quirk], catalog.menu().entries)
        opinion.caveat = judged_by.caveat
        try:
            [ruling] = await judged_by.rule([hypotheses[str(state.sample_id)]], quirk)
            opinion.ruling = ruling.model_dump(mode="json")
        except GraderError as error:
            opinion.fault = str(error)
        return state

    return solve


@metric(scores="unreduced")
def judge_figures() -> Metric:
    """Kappa, agreement, sensitivity and specificity with intervals, errors by category, and what was of no use.

    Returns:
        The metric. Names are flat: `kappa`, `kappa_low`, `error_vague`. A figure without data is left out.
    """

    def compute(scores: list[SampleScore]) -> Value:
        found = agreement([verdict for score in scores if (verdict := _verdict(score.score))])
        figures: dict[str, str | int | float | bool | None] = {"judged": found.judged, "unusable": found.unusable}
        if found.kappa.value is not None:
            figures |= {"kappa": found.kappa.value, "kappa_low": found.kappa.low, "kappa_high": found.kappa.high}
        for name, rate in _rates(found).items():
            if rate.rate is not None:
                figures |= {name: rate.rate, f"{name}_low": rate.low, f"{name}_high": rate.high}
        return figures

    return compute


@scorer(metrics=[judge_figures()])
def agrees_with_label() -> Scorer:
    """Whether the judge said what the label says.

    Returns:
        The scorer, registered as `audit_env/agrees_with_label`.
    """

    async def score(state: TaskState, target: Target) -> Score:
        opinion = state.store_as(Opinion)
        ruling = opinion.ruling
        verdict = Verdict(
            quirk=state.metadata["quirk"],
            category=state.metadata["category"],
            label=target.text == "correct",
            judged=None if ruling is None else ruling["verdict"] == "correct",
        )
        agrees = None if verdict.judged is None else float(verdict.judged == verdict.label)
        told = opinion.fault if ruling is None else f"{ruling['verdict']}: {ruling['reason']}"
        return Score(
            value={
                "category": verdict.category,
                "label": target.text,
                "judged": "unusable" if ruling is None else ruling["verdict"],
                "agrees": agrees,
            },
            explanation=" ".join([told, *([f"Note: {opinion.caveat}"] if opinion.caveat else [])]),
            metadata={VERDICT_KEY: asdict(verdict), "ruling": ruling},
        )

    return score


def verdicts_of(log: EvalLog) -> list[Verdict]:
    """What the judge said, read from a log, finished or not.

    Args:
        log: A log with its samples.

    Returns:
        The verdicts on the hypotheses that were judged, or on which the judge failed.
    """
    scores: Sequence[Score] = [score for sample in log.samples or [] for score in (sample.scores or {}).values()]
    return [verdict for score in scores if (verdict := _verdict(score))]


def validation_viewer() -> ViewerConfig:
    """The sample grid: a row is a hypothesis.

    Returns:
        The configuration, for `Task(viewer=...)`.
    """
    columns = ("category", "label", "judged", "agrees")
    return ViewerConfig(
        task_samples_view=TaskSamplesView(
            name="Hypotheses",
            columns=[
                TaskSamplesColumn(id="sampleStatus"),
                TaskSamplesColumn(id="sampleId"),
                TaskSamplesColumn(id="input"),
                *(TaskSamplesColumn.score(_SCORER, column) for column in columns),
                TaskSamplesColumn(id="error"),
            ],
            sort=[TaskSamplesSort.score(_SCORER, "agrees"), TaskSamplesSort(column="sampleId")],
            multiline=False,
            score_labels={column: column.capitalize() for column in columns},
            score_color_scales={"agrees": ScoreColorScale(palette="good-high", min=0, max=1)},
        )
    )


def _verdict(score: Score) -> Verdict | None:
    raw = (score.metadata or {}).get(VERDICT_KEY)
    return None if raw is None else Verdict(**raw)


def _rates(found: Agreement) -> dict[str, Interval]:
    rates = {"agreement": found.agreement, "sensitivity": found.sensitivity, "specificity": found.specificity}
    return rates | {f"error_{category}": rate for category, rate in found.errors.items()}
