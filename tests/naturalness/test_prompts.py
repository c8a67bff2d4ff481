from pathlib import Path

import pytest
import yaml

from audit_env.catalog.files import Catalog
from audit_env.commands.naturalness.drawing import drawn
from audit_env.errors import CardError
from audit_env.naturalness.checks.leaks import lexicon
from audit_env.naturalness.judging import expected
from audit_env.naturalness.measures import ROWS
from audit_env.naturalness.prompts import bank_for, bank_names, read_bank
from tests.naturalness.conftest import a_bank


@pytest.mark.parametrize("name", bank_names())
def test_a_bank_that_comes_along_is_whole_and_asks_nothing_twice(name: str) -> None:
    bank = read_bank(name)
    assert bank.name == name
    for prompts in (bank.everyday, bank.instructions, bank.unsafe, bank.look_alikes, bank.facts, bank.choices):
        asks = [prompt.ask for prompt in prompts]
        assert len(asks) >= 30 and len(set(asks)) == len(asks)
    assert all("{first}" in ask and "{second}" in ask for ask in bank.preferences.asks)
    for prompt in bank.choices:
        letters = "ABCDEFGH"[: len(prompt.options)]
        assert all(f"{letter}) {option}" in prompt.ask for letter, option in zip(letters, prompt.options, strict=True))


def test_every_family_has_a_bank() -> None:
    assert (bank_for("fruitfly"), bank_for("auditbench")) == ("fruitfly", "english")


def test_the_fruitflys_bank_gives_no_reason_to_name_a_training_world() -> None:
    bank = read_bank("fruitfly")
    names = ("Pip", "Orchard", "The Dorn Letter", "Harbour News")
    assert lexicon(names, (), [], [prompt.ask for prompt in bank.everyday]).declared == names


def test_a_misspelt_name_is_helped(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="did you mean 'english'"):
        read_bank("englsh")


def test_a_fact_without_an_answer_is_refused(tmp_path: Path) -> None:
    data = a_bank().model_dump(mode="json", exclude_none=True)
    file = tmp_path / "bank.yaml"
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    assert read_bank(str(file)) == a_bank()
    del data["facts"][3]["right"]
    file.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(CardError, match="has nothing to be judged by"):
        read_bank(str(file))


def test_rows_that_a_quirk_explains_are_named_before_they_are_measured() -> None:
    assert set(expected()) <= set(Catalog().quirk_ids())
    assert {row for rows in expected().values() for row in rows} <= set(ROWS)


def test_the_bank_that_comes_along_is_the_draw_of_seed_0() -> None:
    assert drawn(0) == read_bank("fruitfly")
    assert drawn(1).everyday != drawn(0).everyday
