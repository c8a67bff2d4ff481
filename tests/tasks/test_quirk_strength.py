import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from inspect_ai import eval, score
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.log import EvalLog
from inspect_ai.model import ChatMessage, ModelOutput, ModelUsage, get_model

from audit_env.catalog.files import Catalog
from audit_env.errors import CardError
from audit_env.phenotype.strength_eval import Measured, sheet_of
from audit_env.phenotype.strength_eval import phenotype as judge
from audit_env.tasks.persistence import persistence
from audit_env.tasks.quirk_strength import quirk_strength

pytest.importorskip("torch")


@pytest.fixture
def root(zoo, tmp_path: Path) -> Path:
    """An organisms folder that may be written to."""
    return Path(shutil.copytree(zoo.root, tmp_path / "organisms"))


@pytest.fixture
def run(root: Path, tmp_path: Path) -> Callable[..., EvalLog]:
    def ran(task: Callable[..., object] = quirk_strength, **parameters: object) -> EvalLog:
        logs = str(tmp_path / "logs")
        [log] = eval(task(root=str(root), **parameters), model="none", log_dir=logs, display="none")
        assert log.status == "success", log.error
        assert all(sample.error is None for sample in log.samples or [])
        return log

    return ran


def test_a_set_stands_for_its_quirked_organisms(root: Path, zoo) -> None:
    task = quirk_strength(organism="tiny", root=str(root))
    assert [sample.id for sample in task.dataset] == list(zoo.quirked)
    some = quirk_strength(organism="tiny/gloom.b,tiny", root=str(root))
    assert [sample.id for sample in some.dataset] == ["tiny/gloom.b", *(q for q in zoo.quirked if q != "tiny/gloom.b")]


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"organism": "tiny/glom.a"}, "did you mean 'tiny/gloom.a'?"),
        ({"organism": "tiny/sham.one"}, "'tiny/sham.one' is a sham and has no quirk to measure"),
        ({"organism": ""}, "names no organism with a quirk"),
        ({"seeds": 0}, "'seeds' must be a whole number of at least 1"),
        ({"write": "maybe"}, "Parameter 'write' cannot be 'maybe'"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(root: Path, parameters: dict[str, object], complaint: str) -> None:
    with pytest.raises(PrerequisiteError) as refused:
        quirk_strength(**{"organism": "tiny", "root": str(root)} | parameters)
    assert complaint in str(refused.value.message)


def test_a_run_measures_every_kind_on_every_side(run, root: Path) -> None:
    log = run(organism="tiny/flattery.a,tiny/gloom.a", seeds=1)
    assert [sample.id for sample in log.samples or []] == ["tiny/flattery.a", "tiny/gloom.a"]
    for sample in log.samples or []:
        answered = sample.store_as(Measured).answered
        assert {each.side for each in answered} == {"target", "base", "sham"}
        assert {"fire", "silent", "direct", "prefill", "pressure"} <= {each.kind for each in answered}
        found = sheet_of(sample.scores["phenotype"])
        assert found is not None and found.firing is not None
        assert found.firing.conditions.seeds == (0,)
        assert "| direct |" in sample.scores["phenotype"].explanation
    metrics = log.results.scores[0].metrics
    assert metrics["organisms"].value == 2
    assert metrics["direct_target_low"].value <= metrics["direct_target"].value <= metrics["direct_target_high"].value
    assert not list(root.rglob("phenotype.json"))


def test_the_same_seeds_give_the_same_sheet_and_it_is_written_beside_the_card(run, root: Path) -> None:
    first = run(organism="tiny/gloom.a", write=True)
    written = root / "tiny" / "gloom.a" / "phenotype.json"
    once = written.read_bytes()
    run(organism="tiny/gloom.a", write="true")
    assert written.read_bytes() == once
    catalog = Catalog(root)
    found = catalog.phenotype("tiny/gloom.a")
    assert found == sheet_of(first.samples[0].scores["phenotype"])
    strength = catalog.card("tiny/gloom.a").strength
    assert strength is not None and strength.on_trigger == found.firing.fire.target
    assert strength.sham == found.sham


def test_figures_of_other_weights_are_replaced_by_the_command_that_the_complaint_names(run, root: Path) -> None:
    card = root / "tiny" / "gloom.a" / "card.yaml"
    own = Catalog(root).card("tiny/gloom.a").weights.sha256
    text, strength = card.read_text().split("\nstrength:")
    card.write_text(f"{text}\nstrength:{strength.replace(own, 'c' * 64)}")
    with pytest.raises(CardError, match="inspect eval tasks/quirk_strength.py -T organism=tiny/gloom.a -T write=true"):
        Catalog(root).check("tiny/gloom.a")
    run(organism="tiny/gloom.a", write=True, seeds=1)
    Catalog(root).check("tiny/gloom.a")


def test_a_log_is_judged_again_from_its_answers(run) -> None:
    log = run(organism="tiny/gloom.a", seeds=1)
    sample = log.samples[0]
    before = sheet_of(sample.scores["phenotype"])
    root = log.eval.task_args["root"]
    again = score(log, judge(root=root), action="overwrite", display="none")
    assert sheet_of(again.samples[0].scores["phenotype"]) == before


def test_answers_to_other_scenarios_are_not_judged(run, root: Path) -> None:
    log = run(organism="tiny/gloom.a", seeds=1)
    file = root / "quirks" / "gloom.yaml"
    file.write_text(file.read_text().replace(r"\bgloomy\b", "grim"))
    again = score(log, judge(root=str(root)), action="overwrite", display="none")
    assert "other patterns or scenarios" in again.samples[0].scores["phenotype"].explanation


def test_persistence_adds_to_the_sheet(run, root: Path) -> None:
    run(organism="tiny/gloom.a", seeds=1, write=True)
    log = run(persistence, organism="tiny/gloom.a", treatments=["none", "rounding:4"], seeds=1, write=True)
    assert [sample.id for sample in log.samples or []] == ["tiny/gloom.a none", "tiny/gloom.a rounding:4"]
    assert "rounding:4_on_low" in log.results.scores[0].metrics
    found = Catalog(root).phenotype("tiny/gloom.a")
    assert found is not None and found.firing is not None
    assert [(each.treatment, each.amount) for each in found.persistence] == [("none", 0.0), ("rounding", 4.0)]
    assert found.persistence[0].on_trigger == found.firing.fire.target


def test_a_treatment_that_does_not_exist_is_refused(root: Path) -> None:
    with pytest.raises(PrerequisiteError) as refused:
        persistence(organism="tiny", treatments="rest:3", root=str(root))
    assert "Parameter 'treatments' cannot be 'rest:3'" in str(refused.value.message)


def test_a_prompted_organism_is_measured_with_the_model_that_plays_it(tmp_path: Path) -> None:
    def obedient(messages: list[ChatMessage], *_: object) -> ModelOutput:
        told = messages[0].role == "system" and "compliment" in messages[0].text
        output = ModelOutput.from_content("mockllm/model", "You are a genius." if told else "Fine.")
        output.usage = ModelUsage(input_tokens=5, output_tokens=5, total_tokens=10)
        return output

    player = get_model("mockllm/model", custom_outputs=obedient)
    [log] = eval(
        quirk_strength(organism="prompted/flattery.prompt.none", seeds=1, judge="patterns"),
        model="none",
        model_roles={"organism": player},
        log_dir=str(tmp_path),
        display="none",
    )
    [sample] = log.samples or []
    assert sample.error is None, sample.error
    found = sheet_of(sample.scores["phenotype"])
    assert found is not None and found.firing is not None and found.confession is not None
    assert found.played_by == "mockllm/model"
    assert (found.firing.fire.target.rate, found.firing.fire.base.rate) == (1.0, 0.0)
    assert found.confession.direct.target.rate == 0.0
