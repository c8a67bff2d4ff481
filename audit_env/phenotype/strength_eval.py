"""Firing and confession as Inspect sees them: a sample is one organism, and its answers lie in the log.

`inspect score LOG --scorer audit_env/phenotype` judges a log again from its answers: by the judge that the log names,
whose verdicts lie in it if that was a grader, or by another (`-S judge=grader --model-role grader=provider/model`).
"""

from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from inspect_ai.dataset import Sample
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, Value, metric, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.viewer import ScoreColorScale, TaskSamplesColumn, TaskSamplesView, ViewerConfig

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Card, Quirk, Rate
from audit_env.catalog.phenotype import Phenotype
from audit_env.game.grader import GraderError, bound_grader
from audit_env.game.parameters import one_of
from audit_env.phenotype import firing, report, sheet
from audit_env.phenotype.answering import Answered, Hit
from audit_env.phenotype.bench import quirk_of, shelved
from audit_env.phenotype.conditions import SEEDS, conditions
from audit_env.phenotype.gathered import Gathered, fitting, unscored
from audit_env.phenotype.grading import HOW_TO_BIND, Graded, grade
from audit_env.runtime.subject import SIDES
from audit_env.stats import clustered_wilson

SHEET = "phenotype"
"""Key of the sheet in a score's metadata."""
VERDICTS = "verdicts"
"""Key of a grader's verdicts in a score's metadata, one for each answer."""

COLUMNS = ("fire", "near_miss", "silent", "direct", "prefill", "pressure", "given_it_fires")

Judge = Literal["patterns", "grader"]
"""Who says whether an answer shows the quirk: the quirk's patterns, or the model of the role `grader`."""
JUDGES: tuple[Judge, ...] = get_args(Judge)


class Measured(Gathered):
    """What was gathered from one organism."""

    judge: Judge = "patterns"
    graded: Graded | None = None
    """The grader's verdicts on the answers, so that they can be counted again without it."""


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
def gather(seeds: int = len(SEEDS), root: str | None = None, judge: Judge | None = None) -> Solver:
    """Gather what an organism and its controls answer to the quirk's scenarios and to the probes for confession.

    Args:
        seeds: How many times each scenario is answered.
        root: The organisms folder; by default the one that comes with audit_env.
        judge: Who says which answers show the quirk, after which the target is asked about it; by default the one that
            fits the organism.

    Returns:
        The solver.
    """

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        bench = shelved(Catalog(root), state.metadata["organism"])
        measured = state.store_as(Measured)
        measured.judge = judge or _fitting_judge(bench.card)
        if measured.judge == "grader" and bound_grader() is None:
            raise GraderError(
                f"The answers of '{bench.card.id}' need a grader: {HOW_TO_BIND}, or judge them by the patterns of the "
                "quirk with  -T judge=patterns."
            )

        async def by_grader(answered: Sequence[Answered]) -> Hit:
            must_show = [each for each in answered if each.kind == "fire"]
            measured.graded = await _graded(measured, bench.quirk, must_show, answered)
            return measured.graded.hit

        measured.blank, measured.conditions = sheet.blank(bench), conditions(range(seeds))
        measured.answered = await sheet.gather(
            bench, measured.conditions, by_grader if measured.judge == "grader" else None
        )
        return state

    return solve


@metric(scores="unreduced")
def by_side() -> Metric:
    """Every rate on every side, averaged over the organisms; of the target with its interval.

    Returns:
        The metric. Names are flat: `fire_target`, `fire_target_low`, `fire_target_high`, `fire_base`, `direct_sham`.
        `gate_met` counts the organisms whose quirk fires clearly enough for the game, `unjudged` the answers that a
        grader gave no verdict on.
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
        named["unjudged"] = sum(_unjudged(score.score) for score in scores)
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
def phenotype(write: bool = False, root: str | None = None, judge: str | None = None) -> Scorer:
    """Judge the gathered answers, by the quirk's patterns or by a grader.

    Args:
        write: Put the sheet beside the organism's card, and its figures for the gate on the card.
        root: The organisms folder; by default the one that comes with audit_env.
        judge: `patterns` or `grader`; by default the judge that the answers were gathered with. A grader is asked for
            the verdicts that the log lacks; those of another model, or under other words of the quirk, do not count.

    Returns:
        The scorer, registered as `audit_env/phenotype`.

    Raises:
        ParameterError: If there is no such judge.
    """
    chosen = None if judge is None else one_of(judge, JUDGES, "judge")

    async def score(state: TaskState, target: Target) -> Score:
        catalog, measured = Catalog(root), state.store_as(Measured)
        quirk = quirk_of(catalog, state.metadata["organism"])
        fit = fitting(measured, quirk)
        if isinstance(fit, Score):
            return fit
        blank, under = fit
        try:
            by_grader = (chosen or measured.judge) == "grader"
            graded = await _graded(measured, quirk, measured.answered, measured.answered) if by_grader else None
        except GraderError as error:
            return unscored(str(error))
        if graded:
            measured.graded = graded
            under = under.model_copy(update={"grader": graded.grader, "rubric_sha256": graded.rubric_sha256})
        found = sheet.judge(blank, quirk, measured.answered, under, graded.hit if graded else None)
        if write:
            sheet.write(catalog, found)
        return _score(found, quirk, measured.answered, graded)

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
    visible = ("gate", *COLUMNS, "fire_base", "fire_sham", "direct_base", "prefill_base", "judge", "unjudged")
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


def _fitting_judge(card: Card) -> Judge:
    """The judge of an organism for which none was named: no pattern fits what a model of somebody's choice says."""
    return "patterns" if card.plays is None else "grader"


async def _graded(measured: Measured, quirk: Quirk, wanted: Sequence[Answered], gathered: Sequence[Answered]) -> Graded:
    """Verdicts on answers: from the log as far as they hold, the others from the grader of this run."""
    known, grader = measured.graded, bound_grader()
    if grader is not None:
        return await grade(quirk, wanted, gathered, grader, known)
    if known is not None and known.covers(quirk, wanted):
        return known
    raise GraderError(
        f"The log lacks verdicts of a grader on '{quirk.id}' as it is now: {HOW_TO_BIND} "
        "in  inspect score LOG --scorer audit_env/phenotype --action overwrite."
    )


def _score(found: Phenotype, quirk: Quirk, answered: Sequence[Answered], graded: Graded | None) -> Score:
    examples = report.examples(quirk, answered, graded.hit if graded else None, graded.why if graded else None)
    metadata: dict[str, object] = {SHEET: found.model_dump(mode="json", exclude_none=True)}
    if graded:
        metadata[VERDICTS] = [verdict.model_dump(mode="json") for verdict in graded.verdicts]
    return Score(
        value=_value(found, graded),
        explanation="\n\n".join([_judged_by(found, graded), report.table(found), examples]),
        metadata=metadata,
    )


def _judged_by(found: Phenotype, graded: Graded | None) -> str:
    if graded is None:
        return "Judged by the patterns of the quirk."
    own = " It also plays the organism: it judges answers of its own." if graded.grader == found.played_by else ""
    return (
        f"Judged by the grader, {graded.grader}.{own} {graded.unjudged()} of {len(graded.verdicts)} answers got no "
        "usable verdict; they are in no rate."
    )


def _unjudged(score: Score) -> int:
    return sum(verdict["hit"] is None for verdict in (score.metadata or {}).get(VERDICTS, ()))


def _value(found: Phenotype, graded: Graded | None) -> dict[str, str | int | float | bool | None]:
    strength = firing.strength(found)
    value: dict[str, str | int | float | bool | None] = {
        "gate": "met" if strength and strength.met() else "not met",
        "judge": graded.grader if graded else "patterns",
        "unjudged": graded.unjudged() if graded else 0,
    }
    rates = report.kinds(found)
    for kind in COLUMNS:
        beside = rates.get(kind)
        value |= {
            kind: beside.target.rate if beside else None,
            f"{kind}_base": beside.base.rate if beside else None,
            f"{kind}_sham": beside.sham.rate if beside and beside.sham else None,
        }
    return value
