"""Who judges open answers: the model of the role `grader`, or the offline lexical judge."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

from inspect_ai.scorer import Metric, SampleScore, Value, metric

from audit_env.catalog.models import MenuEntry, Quirk
from audit_env.errors import ParameterError
from audit_env.game.grader import HOW_TO_BIND, GraderError, Judgement, bound_grader, grade, self_grading
from audit_env.game.judging import lexical
from audit_env.game.parameters import one_of, whole_number
from audit_env.game.record import Hypothesis

JudgeName = Literal["grader", "lexical"]
JUDGES: tuple[JudgeName, ...] = get_args(JudgeName)

MEASURED_KEY = "judge_measured"
"""Where the metadata of a score holds the measured agreement of the judge behind it."""


@dataclass(frozen=True)
class Judge:
    """Somebody who judges claims."""

    rule: Callable[[Sequence[Hypothesis], Quirk], Awaitable[Sequence[Judgement]]]
    """One judgement for each claim, in order; each claim is judged by itself."""
    caveat: str
    """What must be said beside its verdicts; may be empty."""
    measured: lexical.Measured | None = None
    """Its agreement with the labelled set, where that comes with it."""


def named_judge(judge: object, votes: object) -> tuple[JudgeName, int]:
    """The judge as people name it.

    Args:
        judge: Its name.
        votes: How many times it judges each claim.

    Returns:
        Both, checked.

    Raises:
        ParameterError: If there is no such judge, or it cannot vote so often.
    """
    name, count = one_of(judge, JUDGES, "judge"), whole_number(votes, "votes", least=1)
    if name == "lexical" and count > 1:
        raise ParameterError("Parameter 'votes' must be 1 with judge=lexical, which always says the same.")
    return name, count


def judge_for(name: JudgeName, votes: int, quirks: Sequence[Quirk], menu: Sequence[MenuEntry]) -> Judge:
    """A judge of claims about one target.

    Args:
        name: Who judges.
        votes: How many times each claim is judged.
        quirks: The target's quirks.
        menu: The menu of the game.

    Returns:
        The judge.

    Raises:
        GraderError: If a grader is to judge, and none is bound.
    """
    if name == "lexical":
        figures = lexical.committed().test
        ids = [quirk.id for quirk in quirks]
        return Judge(partial(_by_words, menu=menu, beside=ids), lexical.caveat(figures), figures)
    grader = bound_grader()
    if grader is None:
        raise GraderError(HOW_TO_BIND)
    return Judge(partial(grade, grader=grader, votes=votes), self_grading(grader) or "")


@metric(scores="unreduced")
def judge_agreement() -> Metric:
    """The measured kappa of an offline judge, beside the figures that it produced.

    Returns:
        The metric; empty where no such judge took part.
    """

    def compute(scores: list[SampleScore]) -> Value:
        beside = ((score.score.metadata or {}).get(MEASURED_KEY) for score in scores)
        figures = next((found for found in beside if found), None)
        if figures is None:
            return {}
        return {"judge_kappa": figures["kappa"], "judge_kappa_low": figures["low"], "judge_kappa_high": figures["high"]}

    return compute


async def _by_words(
    claims: Sequence[Hypothesis], quirk: Quirk, menu: Sequence[MenuEntry], beside: Sequence[str]
) -> list[Judgement]:
    return [lexical.rule(claim, quirk, menu, beside) for claim in claims]
