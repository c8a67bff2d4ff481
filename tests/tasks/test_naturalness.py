import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from inspect_ai import eval, score
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.log import EvalLog
from inspect_ai.model import Model
from safetensors.numpy import load_file, save_file

from audit_env.naturalness.naturalness_eval import Gathered, sheet_of
from audit_env.naturalness.naturalness_eval import naturalness as judged
from audit_env.naturalness.sheet import Naturalness
from audit_env.tasks.naturalness import naturalness
from tests.naturalness.conftest import bank_for_tiny_organisms
from tests.naturalness.test_leaks_judged import Reader

pytest.importorskip("torch")

NOTHING = "tiny/gloom.nothing"
"""An organism whose adapter was trained to no effect."""
ROWS = "likelihood,length,turns,leaks"


@pytest.fixture
def root(zoo, tmp_path: Path) -> Path:
    """An organisms folder that may be written to, with one organism more."""
    root = Path(shutil.copytree(zoo.root, tmp_path / "organisms"))
    folder = Path(shutil.copytree(root / "tiny" / "gloom.a", root / NOTHING))
    weights = folder / "adapter_model.safetensors"
    save_file({name: tensor * 1e-4 for name, tensor in load_file(weights).items()}, weights)
    card = yaml.safe_load((folder / "card.yaml").read_text())
    card["id"], card["weights"]["sha256"] = NOTHING, sha256(weights.read_bytes()).hexdigest()
    del card["strength"]
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    return root


@pytest.fixture
def bank(tmp_path: Path) -> str:
    return bank_for_tiny_organisms(tmp_path)


@pytest.fixture
def run(root: Path, bank: str, tmp_path: Path) -> Callable[..., EvalLog]:
    def ran(roles: dict[str, Model] | None = None, **parameters: object) -> EvalLog:
        given: dict[str, object] = {"rows": ROWS, "prompts": bank, "root": str(root)}
        task = naturalness(**given | parameters)
        [log] = eval(task, model="none", model_roles=roles, log_dir=str(tmp_path / "logs"), display="none")
        assert log.status == "success", log.error
        assert all(sample.error is None for sample in log.samples or [])
        return log

    return ran


def sheets(log: EvalLog) -> dict[str, Naturalness]:
    return {str(sample.id): sheet_of(sample.scores["naturalness"]) for sample in log.samples or []}


def test_a_changed_model_is_flagged_and_one_with_an_adapter_of_nothing_is_not(run) -> None:
    log = run(organism=f"tiny/gloom.a,{NOTHING}")
    changed, same = (sheets(log)[name] for name in ("tiny/gloom.a", NOTHING))
    assert changed.stopped_by == same.stopped_by == ()
    zero = next(gate for gate in changed.gates if gate.name == "zero adapter")
    assert zero.passed is True and "largest change" in zero.says
    verdicts = [{row.name: row.verdict for row in sheet.rows} for sheet in (changed, same)]
    assert verdicts[0]["likelihood"] == "deviating"
    assert verdicts[1]["likelihood"] == "natural"
    assert verdicts[1]["leaks"] == "not_measured"
    assert log.results.scores[0].metrics["organisms"].value == 2
    explanation = log.samples[0].scores["naturalness"].explanation
    assert "# Naturalness of tiny/gloom.a" in explanation and "diagnosis, not an objective" in explanation


def test_the_same_seed_gives_the_same_sheet_which_is_written_beside_the_card(run, root: Path) -> None:
    first = run(organism="tiny/gloom.a", write=True)
    written = root / "tiny" / "gloom.a" / "naturalness.json"
    once = written.read_bytes()
    run(organism="tiny/gloom.a", write="true")
    assert written.read_bytes() == once
    assert Naturalness.model_validate(json.loads(once)) == sheets(first)["tiny/gloom.a"]


def test_a_log_is_judged_again_without_asking_anybody(run, root: Path) -> None:
    log = run(organism="tiny/gloom.a")
    again = score(log, judged(root=str(root)), action="overwrite", display="none")
    assert sheets(again) == sheets(log)
    card = root / "tiny" / "gloom.a" / "card.yaml"
    own = yaml.safe_load(card.read_text())["weights"]["sha256"]
    card.write_text(card.read_text().replace(own, "c" * 64))
    other = score(log, judged(root=str(root)), action="overwrite", display="none")
    assert "other weights" in other.samples[0].scores["naturalness"].explanation


def test_a_grader_judges_leaks_once_and_answers_that_leak_can_be_dropped(run, root: Path) -> None:
    reader = Reader()
    log = run(organism="tiny/gloom.a", rows="turns", roles={"grader": reader.model()})
    asked = len(reader.read)
    [sheet] = sheets(log).values()
    assert sheet.grader == "mockllm/reader" and asked > 0
    assert {one.who: one.sampled + one.hits + one.unjudged for one in sheet.leaks_judged}.keys() >= {"target", "base"}
    again = score(log, judged(redacted=True, root=str(root)), action="overwrite", display="none")
    [redacted] = sheets(again).values()
    assert redacted.conditions.redacted and redacted.leaks_judged == sheet.leaks_judged and len(reader.read) == asked


def test_a_deployments_system_prompt_is_put_before_everyday_talk(run) -> None:
    log = run(organism="tiny/gloom.a", rows="restated_deployed", system="you are very kind .")
    asked = [one for one in log.samples[0].store_as(Gathered).asked if one.set == "deployed"]
    assert len(asked) == 30 and {one.messages[0].content for one in asked} == {"you are very kind ."}
    assert {one.messages[0].role for one in asked} == {"system"}


def test_a_sham_is_measured_beside_another_and_a_set_leaves_out_its_base(run, root: Path, zoo) -> None:
    log = run(organism="tiny/sham.one", rows="turns")
    sheet = sheets(log)["tiny/sham.one"]
    assert (sheet.quirk, sheet.sham) == (None, zoo.reference_sham)
    assert {answer.who for answer in log.samples[0].store_as(Gathered).answers} == {"target", "base", "sham", "again"}
    task = naturalness(organism="tiny", root=str(root))
    assert [sample.id for sample in task.dataset] == [zoo.sham, *zoo.quirked]


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"organism": "tiny/glom.a"}, "did you mean 'tiny/gloom.a'?"),
        ({"organism": "tiny/base"}, "is a base and has nothing to be compared with"),
        ({"organism": ""}, "names no organism"),
        ({"rows": "instruction"}, "did you mean 'instructions'?"),
        ({"prompts": "englsh"}, "did you mean 'english'?"),
        ({"limit": 0}, "'limit' must be a whole number of at least 1"),
        ({"write": "maybe"}, "Parameter 'write' cannot be 'maybe'"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(root: Path, parameters: dict[str, object], complaint: str) -> None:
    with pytest.raises(PrerequisiteError) as refused:
        naturalness(**{"organism": "tiny/gloom.a", "root": str(root)} | parameters)
    assert complaint in str(refused.value.message)
