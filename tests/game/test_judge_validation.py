"""Validation of a judge, with a mock model in the place of the paid one."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from inspect_ai import eval, score
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.log import EvalLog
from inspect_ai.model import ModelOutput, ModelUsage, get_model

from audit_env.game.judging.agreement import Agreement, agreement
from audit_env.game.judging.labelled import FOLDER, Item, labelled_set
from audit_env.game.judging.lexical import Lexicon, committed
from audit_env.game.judging.validation import agrees_with_label, validation_samples, verdicts_of
from audit_env.tasks.judge_validation import judge_validation

QUIRKS = ("flattery", "password_locked", "self_promotion")

Says = Callable[[str, Item], str]
"""What a judge says of a claim: a verdict, or an answer that is none."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of the labelled set."""
    made = tmp_path_factory.mktemp("labelled")
    for quirk in QUIRKS:
        shutil.copy(FOLDER / f"{quirk}.yaml", made)
    return made


@pytest.fixture(scope="module")
def validate(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., EvalLog]:
    items = {str(sample.input): item for item in labelled_set(folder=folder) for sample in validation_samples([item])}

    def validated(says: Says | None, prompts: list[str] | None = None, **parameters: object) -> EvalLog:
        def outputs(input, tools, tool_choice, config) -> ModelOutput:
            assert says is not None
            claim = claim_in(input[1].text)
            (prompts if prompts is not None else []).append("\n".join(message.text for message in input))
            verdict = says(claim, items[claim])
            quote = claim.split("\n")[0] or "-"
            known = verdict in ("correct", "partial", "wrong")
            said = json.dumps({"quote": quote, "reason": "So it is.", "verdict": verdict}) if known else verdict
            output = ModelOutput.from_content("mockllm/judge", said)
            output.usage = ModelUsage()
            return output

        roles = {"grader": get_model("mockllm/judge", custom_outputs=outputs)} if says else None
        [log] = eval(
            judge_validation(**{"folder": str(folder)} | parameters),  # type: ignore[arg-type]
            model="none",
            model_roles=roles,
            log_dir=str(tmp_path_factory.mktemp("logs")),
            display="none",
        )
        assert log.status == "success", log.error
        return log

    return validated


def claim_in(prompt: str) -> str:
    """The claim that a grader is shown: what stands between the first marker line and the last."""
    marker = re.findall(r"^=== claim [0-9a-f]{16} ===$", prompt, re.MULTILINE)[-1]
    return prompt.split(f"{marker}\n", 1)[1].rsplit(f"\n{marker}", 1)[0]


def found(log: EvalLog) -> Agreement:
    return agreement(verdicts_of(log))


def oracle(claim: str, item: Item) -> str:
    return "correct" if item.labelled.label == "correct" else "wrong"


def test_an_oracle_agrees_fully(validate: Callable[..., EvalLog], folder: Path) -> None:
    log = validate(oracle)
    figures = found(log)
    assert (figures.kappa.value, figures.kappa.low, figures.kappa.high) == (1.0, 1.0, 1.0)
    assert all(rate.rate == 0.0 for rate in figures.errors.values())
    assert figures.judged == len(labelled_set("test", folder)) and figures.unusable == 0
    assert log.results
    metrics = {name: metric.value for found in log.results.scores for name, metric in found.metrics.items()}
    assert (metrics["kappa"], metrics["sensitivity"], metrics["judged"]) == (1.0, 1.0, figures.judged)


def test_a_judge_that_always_agrees_has_no_kappa_to_speak_of(validate: Callable[..., EvalLog]) -> None:
    figures = found(validate(lambda claim, item: "correct"))
    assert (figures.kappa.value, figures.sensitivity.rate, figures.specificity.rate) == (0.0, 1.0, 0.0)
    del figures.errors["injected"]
    assert all(rate.rate == float(category != "correct") for category, rate in figures.errors.items())


def test_a_judge_that_obeys_injections_errs_on_those_alone(validate: Callable[..., EvalLog]) -> None:
    def obeys(claim: str, item: Item) -> str:
        return "correct" if item.labelled.category == "injected" else oracle(claim, item)

    figures = found(validate(obeys, split="tune"))
    assert (figures.errors.pop("injected").rate or 0.0) > 0.0
    assert all(rate.rate == 0.0 for rate in figures.errors.values())
    assert figures.kappa.value is not None and figures.kappa.value < 1.0


def test_partial_is_not_correct(validate: Callable[..., EvalLog]) -> None:
    figures = found(validate(lambda claim, item: "partial"))
    assert (figures.sensitivity.rate, figures.specificity.rate) == (0.0, 1.0)


def test_each_hypothesis_is_judged_alone_and_blind(validate: Callable[..., EvalLog], folder: Path) -> None:
    prompts: list[str] = []
    validate(oracle, prompts)
    items = labelled_set("test", folder)
    assert len(prompts) == len(items)
    for prompt in prompts:
        claim = claim_in(prompt)
        others = [str(sample.input) for sample in validation_samples(items) if str(sample.input) != claim]
        told = prompt.replace(claim, "")
        assert not [other for other in others if len(other) > 20 and other in told]
        assert not re.search(r"swapped|injected|shotgun|adjacent|tune|0\.5|label", told)


def test_a_judge_that_babbles_is_counted_apart(validate: Callable[..., EvalLog], folder: Path) -> None:
    def babbles(claim: str, item: Item) -> str:
        return "I would rather not." if item.labelled.category == "injected" else oracle(claim, item)

    log = validate(babbles, split="tune")
    injected = sum(item.labelled.category == "injected" for item in labelled_set("tune", folder))
    figures = found(log)
    assert (figures.unusable, figures.kappa.value) == (injected, 1.0)
    assert "injected" not in figures.errors


def test_votes_are_asked_for_and_the_majority_decides(validate: Callable[..., EvalLog], folder: Path) -> None:
    asked: list[str] = []
    turn = {"correct": "wrong", "wrong": "correct"}

    def wavers(claim: str, item: Item) -> str:
        verdict = oracle(claim, item)
        return verdict if asked.count(asked[-1]) > 1 else turn[verdict]

    figures = found(validate(wavers, asked, votes=3))
    assert len(asked) == 3 * len(labelled_set("test", folder))
    assert figures.kappa.value == 1.0


def test_a_log_is_scored_again_without_asking_anybody(validate: Callable[..., EvalLog]) -> None:
    log = validate(oracle)
    again = score(log, agrees_with_label(), action="overwrite", display="none")
    assert found(again) == found(log)


def test_the_offline_judge_is_validated_by_the_same_task(validate: Callable[..., EvalLog], folder: Path) -> None:
    from audit_env.catalog.files import Catalog

    log = validate(None, judge="lexical")
    catalog, decides = Catalog(), committed().thresholds
    menu = catalog.menu().entries
    lexicon = Lexicon(menu, decides.letters)
    judged = {str(sample.id): sample.scores["agrees_with_label"] for sample in log.samples or [] if sample.scores}
    items = labelled_set("test", folder)
    assert len(judged) == len(items)
    for item in items:
        rivals = [entry.id for entry in menu if entry.id != item.quirk]
        met = decides.met(*lexicon.compare(item.hypothesis, catalog.quirk(item.quirk), rivals))
        assert judged[item.id].value["judged"] == ("correct" if met else "wrong")  # type: ignore[index]
        assert "kappa" in str(judged[item.id].explanation)


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [({"split": "train"}, "'split' cannot be 'train'"), ({"judge": "lexical", "votes": 2}, "'votes' must be 1")],
)
def test_bad_parameters_are_refused_in_one_sentence(parameters: dict[str, object], complaint: str) -> None:
    with pytest.raises(PrerequisiteError) as refused:
        judge_validation(**parameters)  # type: ignore[arg-type]
    assert complaint in str(refused.value.message)
