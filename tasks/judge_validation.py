"""Judge validation: how far does a judge of open answers agree with labelled hypotheses?

A model as the grader; three votes each; the offline judge; the half that prompts and thresholds may be chosen on:

    inspect eval tasks/judge_validation.py --model none --model-role grader=openai/gpt-5
    inspect eval tasks/judge_validation.py --model none --model-role grader=openai/gpt-5 -T votes=3
    inspect eval tasks/judge_validation.py --model none -T judge=lexical
    inspect eval tasks/judge_validation.py --model none --model-role grader=openai/gpt-5 -T split=tune

`audit-env judge validate --grader openai/gpt-5` runs the same and prints the figures.
"""

from inspect_ai import Task, task

from audit_env.game.judging.judges import named_judge
from audit_env.game.judging.labelled import SPLITS, digest, labelled_set
from audit_env.game.judging.validation import (
    agrees_with_label,
    folder_of,
    judge_alone,
    validation_samples,
    validation_viewer,
)
from audit_env.game.parameters import one_of, one_sentence, text_or_none


@task
@one_sentence()
def judge_validation(
    *, split: str = "test", judge: str = "grader", votes: int | str = 1, folder: str | None = None
) -> Task:
    """Measure how far a judge of open answers can be trusted.

    Each sample is one hypothesis with a label, judged as the game judges a claim: by itself, blind to rank and
    confidence, against the quirk's rubric. How the labels were given is in `audit_env/game/judging/GUIDE.md`.

    Model roles:
        (eval model): not used; say `--model none`.
        grader: the judge that is measured, where `judge` is `grader`.

    Args:
        split: "test" for figures to report, "tune" to choose prompts or thresholds on.
        judge: "grader" for the model of that role, "lexical" for the offline judge.
        votes: How many times the grader judges each hypothesis. The majority decides; a tie is not correct.
        folder: A folder of labelled hypotheses of your own, one file a quirk.

    Returns:
        The task.
    """
    half = one_of(split, SPLITS, "split")
    name, count = named_judge(judge, votes)
    folder = text_or_none(folder, "folder")
    items = labelled_set(half, folder_of(folder))
    return Task(
        dataset=validation_samples(items),
        solver=judge_alone(name, count, folder),
        scorer=agrees_with_label(),
        viewer=validation_viewer(),
        version=1,
        metadata={"split": half, "judge": name, "votes": count, "labelled_sha256": digest(items)},
    )
