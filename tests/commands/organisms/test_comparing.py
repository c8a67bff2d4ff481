import json
import shutil
from pathlib import Path

import pytest

from audit_env.catalog.phenotype import Phenotype

from .conftest import BASE, OTHER, SHAM, TARGET, Run, edit, one_sentence


def test_figures_weights_and_answers_side_by_side(run: Run, sheet: Phenotype) -> None:
    compared = json.loads(run("compare", TARGET, OTHER, BASE, "--prompts", "3", "--json").output)
    assert [row["id"] for row in compared["organisms"]] == [TARGET, OTHER, BASE]
    near, without, _ = compared["weights"]
    assert [layer["layer"] for layer in near["layers"]] == [None, 0, 1]
    assert abs(near["layers"][0]["cosine"]) < 0.3  # drawn at random, each on its own
    assert without["not_compared"] == "one has no adapter"
    assert len(compared["answers"]) == 3 and set(compared["answers"][0]["answers"]) == {TARGET, OTHER, BASE}


def test_a_twin_is_the_same_in_weights_and_words(run: Run, root: Path) -> None:
    twin = "tiny/gloom.twin"
    shutil.copytree(root / TARGET, root / twin)
    edit(root / twin / "card.yaml", lambda card: card.update(id=twin))
    compared = json.loads(run("compare", TARGET, twin, "--json").output)
    assert compared["weights"][0]["layers"][0]["cosine"] == pytest.approx(1)
    assert all(len(set(asked["answers"].values())) == 1 for asked in compared["answers"])
    assert len({row["prompt"] for row in compared["answers"]}) == 4


def test_the_seed_decides_the_answers(run: Run) -> None:
    once, again, other = (
        json.loads(run("compare", TARGET, OTHER, "--seed", seed, "--json").output)["answers"] for seed in "001"
    )
    assert once == again != other


def test_the_tables_fit_in_100_columns(run: Run, sheet: Phenotype) -> None:
    told = run("compare", TARGET, OTHER, SHAM, BASE).output
    assert max(map(len, told.splitlines())) <= 100
    assert f"A  {TARGET}" in told and "Cosine" in told and "confesses when asked" in told


def test_no_answers_if_none_are_wanted(run: Run) -> None:
    assert json.loads(run("compare", TARGET, OTHER, "--prompts", "0", "--json").output)["answers"] == []


@pytest.mark.parametrize("ids", [[TARGET], [TARGET, TARGET]])
def test_two_different_ones_are_needed(run: Run, ids: list[str]) -> None:
    assert "Name two to 26 different organisms" in one_sentence(run("compare", *ids))
