"""A whole zoo, in small: what was stopped goes on, and what was measured otherwise is measured again."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from audit_env.commands.naturalness.group import naturalness
from audit_env.errors import ParameterError
from audit_env.naturalness.by_recipe import recipe_in
from audit_env.naturalness.logs import sheets_in
from audit_env.naturalness.zoo import PRESET, Plan, finished, in_turn, measure
from tests.naturalness.conftest import bank_for_tiny_organisms

pytest.importorskip("torch")

ORGANISMS = ("tiny/gloom.a", "tiny/flattery.a")


def test_every_first_part_has_one_of_each_common_recipe() -> None:
    common = [f"f/{quirk}.{recipe}" for quirk in "abcd" for recipe in ("documents.none", "transcripts.none")]
    order = in_turn([*common, "f/sham.transcripts.none", "f/a.transcripts.none.s1"])
    assert sorted(order[:8]) == sorted(common)
    assert [recipe_in(name) for name in order[:4]] == 2 * ["documents.none", "transcripts.none"]
    assert {recipe_in(name) for name in order[8:]} == {"sham transcripts.none", "transcripts.none.s1"}
    assert in_turn(order) == order and in_turn(order, seed=1) != order


def test_a_zoo_goes_on_where_it_was_stopped(zoo, tmp_path: Path) -> None:
    bank = bank_for_tiny_organisms(tmp_path)
    plan = Plan(tmp_path / "logs", ("turns", "length"), limit=12, root=str(zoo.root), options={"prompts": bank})
    steps = measure(plan, ORGANISMS)
    first = next(steps)
    steps.close()  # stopped
    assert (first.organism, first.error) == (ORGANISMS[0], None)
    assert set(finished(plan.folder, plan.marks)) == {ORGANISMS[0]}
    assert [done.organism for done in measure(plan, ORGANISMS)] == [ORGANISMS[1]]
    assert list(measure(plan, ORGANISMS)) == []
    assert {sheet.organism for sheet in sheets_in([str(plan.folder)])} == set(ORGANISMS)
    table = CliRunner().invoke(naturalness, ["table", str(plan.folder)])
    assert "| turns |" in table.output and "| length |" in table.output, table.output
    turned = CliRunner().invoke(naturalness, ["dials", str(plan.folder)])
    assert turned.exit_code == 0 and "| row | recipe | dial |" in turned.output  # of two quirks: nothing to pair
    page = tmp_path / "report.html"
    shown = CliRunner().invoke(naturalness, ["show", str(plan.folder), "--format", "html", "--out", str(page)])
    assert shown.output == "" and all(name in page.read_text() for name in ORGANISMS)
    otherwise = Plan(plan.folder, plan.rows, limit=11, root=plan.root, options=plan.options)
    assert finished(plan.folder, otherwise.marks) == {}


def test_an_organism_that_cannot_be_measured_does_not_stop_the_others(zoo, tmp_path: Path) -> None:
    root = Path(shutil.copytree(zoo.root, tmp_path / "organisms"))
    (root / ORGANISMS[0] / "adapter_model.safetensors").write_bytes(b"damaged")
    bank = bank_for_tiny_organisms(tmp_path)
    plan = Plan(tmp_path / "logs", ("turns",), limit=10, root=str(root), options={"prompts": bank})
    broken, whole = measure(plan, ORGANISMS)
    assert broken.error and ORGANISMS[0] in broken.error and whole.error is None
    assert set(finished(plan.folder, plan.marks)) == {ORGANISMS[1]}


def test_a_folder_without_logs_and_a_wrong_row_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="audit-env naturalness zoo"):
        sheets_in([str(tmp_path)])
    with pytest.raises(ParameterError, match="did you mean 'turns'"):
        next(measure(Plan(tmp_path, ("turn",)), ORGANISMS))
    assert len(set(PRESET)) == len(PRESET)
