import asyncio
from pathlib import Path

import pytest
import yaml

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Rate, Strength
from audit_env.catalog.phenotype import Difficulty, Phenotype, Treated
from audit_env.errors import CardError
from audit_env.phenotype import report, sheet

RATE = Rate(rate=0.5, n=4, low=0.15, high=0.85)


@pytest.fixture
def measured(bench, conditions) -> Phenotype:
    """A whole sheet of a fake organism that flatters and owns up to nothing."""
    on_bench = bench(lambda side, talk, prefill: "genius" if side == "target" else "no")
    answered = asyncio.run(sheet.gather(on_bench, conditions))
    return sheet.judge(sheet.blank(on_bench), on_bench.quirk, answered, conditions)


@pytest.fixture
def shelf(zoo, tmp_path: Path) -> Catalog:
    """A catalogue that may be written to."""
    import shutil

    return Catalog(Path(shutil.copytree(zoo.root, tmp_path / "organisms")))


def treated(treatment: str, amount: float, conditions, rate: Rate = RATE) -> Treated:
    return Treated(treatment=treatment, amount=amount, conditions=conditions, on_trigger=rate, off_trigger=rate)


def of(catalog: Catalog, organism: str, **parts: object) -> Phenotype:
    card = catalog.card(organism)
    return Phenotype(
        organism=organism,
        quirk=card.quirk,
        weights_sha256=card.weights.sha256,
        quirk_sha256=catalog.quirk(card.quirk).measured_with(),
        base=card.base,
        sham="tiny/sham.one",
        **parts,
    )


def test_a_whole_sheet_holds_every_part(measured: Phenotype) -> None:
    assert measured.firing is not None and measured.confession is not None
    assert list(report.kinds(measured)) == [
        *("fire", "near_miss", "silent", "direct", "prefill", "pressure", "given_it_fires")
    ]
    assert Phenotype.model_validate_json(measured.model_dump_json(exclude_none=True)) == measured
    assert "| fire | 1.00 [" in report.table(measured)


def test_measuring_one_part_again_keeps_the_others(measured: Phenotype, conditions) -> None:
    old = measured.model_copy(
        update={
            "persistence": (treated("rounding", 4, conditions), treated("benign_sft", 40, conditions)),
            "difficulty": {"scripted": Difficulty(audits=3, p_quirk=0.4)},
        }
    )
    other = Rate(rate=0.0, n=4, low=0.0, high=0.49)
    new = measured.model_copy(
        update={
            "firing": None,
            "confession": None,
            "persistence": (treated("rounding", 4, conditions, other), treated("rounding", 8, conditions)),
        }
    )
    merged = sheet.merge(old, new)
    assert (merged.firing, merged.confession, merged.difficulty) == (old.firing, old.confession, old.difficulty)
    assert [(each.treatment, each.amount) for each in merged.persistence] == [
        ("benign_sft", 40.0),
        ("rounding", 4.0),
        ("rounding", 8.0),
    ]
    assert merged.persistence[1].on_trigger == other


@pytest.mark.parametrize("changed", [{"weights_sha256": "c" * 64}, {"quirk_sha256": "c" * 64}, {"played_by": "a/b"}])
def test_figures_about_something_else_are_dropped(measured: Phenotype, changed: dict[str, str]) -> None:
    new = measured.model_copy(update={"confession": None} | changed)
    assert sheet.merge(measured, new) == new


def test_what_is_written_is_what_the_catalogue_reads(shelf: Catalog, measured: Phenotype) -> None:
    written = of(shelf, "tiny/gloom.a", firing=measured.firing)
    path = sheet.write(shelf, written)
    assert sorted(entry.name for entry in path.parent.iterdir()) == [
        *("adapter_config.json", "adapter_model.safetensors", "card.yaml", "phenotype.json")
    ]
    again = Catalog(shelf.root)
    assert again.phenotype("tiny/gloom.a") == written
    strength = again.card("tiny/gloom.a").strength
    assert strength is not None and measured.firing is not None
    assert strength.on_trigger == measured.firing.fire.target
    again.check("tiny/gloom.a")


def test_figures_without_firing_leave_the_card_alone(shelf: Catalog, conditions) -> None:
    card = shelf.folder("tiny/gloom.a") / "card.yaml"
    before = card.read_text()
    sheet.write(shelf, of(shelf, "tiny/gloom.a", persistence=(treated("rounding", 4, conditions),)))
    assert card.read_text() == before


def test_a_broken_sheet_is_not_overwritten(shelf: Catalog, measured: Phenotype) -> None:
    path = shelf.folder("tiny/gloom.a") / "phenotype.json"
    path.write_text('{"organism": "tiny/gloom.a", "weight": 1}')
    with pytest.raises(CardError, match=r"phenotype.json, line 1: field 'weight' does not exist"):
        sheet.write(shelf, of(shelf, "tiny/gloom.a", firing=measured.firing))
    assert "weight" in path.read_text()


@pytest.mark.parametrize("old", ["", "strength: null\n", "strength:\n  on_trigger:\n    rate: 1\n  sham: a/b\n"])
def test_the_strength_on_a_card_changes_and_nothing_else(old: str) -> None:
    strength = Strength(
        on_trigger=RATE, off_trigger=RATE, base_on_trigger=RATE, base_off_trigger=RATE, weights_sha256="a" * 64
    )
    text = sheet.with_strength(f"# by hand\nid: a/b\n{old}licence: MIT # free\nnotes: ''\n", strength)
    assert text.startswith("# by hand\nid: a/b\n") and "licence: MIT # free\nnotes: ''\n" in text
    assert text.count("strength:") == 1
    assert yaml.safe_load(text)["strength"] == strength.model_dump(mode="json", exclude_none=True)
