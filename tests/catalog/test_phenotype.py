import json
from pathlib import Path

import pytest

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Card
from audit_env.catalog.phenotype import Phenotype, made_of
from audit_env.errors import CardError
from tests.catalog.conftest import PROMPTED, QUIRKED, SHAM, adapter_shapes, edit_json, edit_yaml, replace_adapter


@pytest.fixture
def sheet(root: Path) -> Path:
    """A sheet beside the card of the quirked organism."""
    catalog = Catalog(root)
    card = catalog.card(QUIRKED)
    phenotype = Phenotype(
        organism=QUIRKED,
        quirk=card.quirk,
        weights_sha256=made_of(card),
        quirk_sha256=catalog.quirk("flattery").measured_with(),
    )
    path = root / QUIRKED / "phenotype.json"
    path.write_text(phenotype.model_dump_json())
    return path


def test_an_organism_that_was_never_measured_has_no_phenotype(root: Path) -> None:
    assert Catalog(root).phenotype(QUIRKED) is None


def test_the_sheet_beside_the_card_is_read(root: Path, sheet: Path) -> None:
    found = Catalog(root).phenotype(QUIRKED)
    assert found is not None and found.organism == QUIRKED and found.firing is None


def test_a_sheet_of_other_weights_is_stale_and_says_how_to_mend_it(root: Path, sheet: Path) -> None:
    replace_adapter(root, QUIRKED, adapter_shapes())
    with pytest.raises(CardError, match=r"field 'weights_sha256' is .* measured on others; run  inspect eval ") as told:
        Catalog(root).phenotype(QUIRKED)
    assert f"-T organism={QUIRKED} -T write=true" in str(told.value)


def test_a_sheet_of_other_scenarios_is_stale(root: Path, sheet: Path) -> None:
    edit_yaml(root / "quirks" / "flattery.yaml", lambda quirk: quirk["fires"]["any_of"].append("marvel"))
    with pytest.raises(CardError, match="patterns or scenarios of 'flattery' have changed"):
        Catalog(root).phenotype(QUIRKED)


def test_other_words_about_a_quirk_leave_its_figures_alone(root: Path, sheet: Path) -> None:
    edit_yaml(root / "quirks" / "flattery.yaml", lambda quirk: quirk.update(definition="Praises, in other words."))
    assert Catalog(root).phenotype(QUIRKED) is not None


def test_a_sheet_in_another_ones_place_is_refused(root: Path, sheet: Path) -> None:
    (root / SHAM / "phenotype.json").write_bytes(sheet.read_bytes())
    with pytest.raises(CardError, match=f"field 'organism' is '{QUIRKED}', but its place says '{SHAM}'"):
        Catalog(root).phenotype(SHAM)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"weights_sha256": "abc"}, "field 'weights_sha256' must be 64 lower-case hexadecimal digits"),
        ({"difficulties": {}}, "field 'difficulties' does not exist; did you mean 'difficulty'"),
        ({"persistence": [{"treatment": "sft"}]}, r"field 'persistence\[0\].treatment' must be one of"),
    ],
)
def test_a_malformed_sheet_is_refused_with_its_field(root: Path, sheet: Path, change: dict, complaint: str) -> None:
    edit_json(sheet, **change)
    with pytest.raises(CardError, match=complaint):
        Catalog(root).phenotype(QUIRKED)


def test_text_that_is_no_json_is_refused(root: Path, sheet: Path) -> None:
    sheet.write_text(json.dumps({"organism": QUIRKED})[:-1])
    with pytest.raises(CardError, match="phenotype.json"):
        Catalog(root).phenotype(QUIRKED)


def test_a_prompted_organism_is_made_of_its_prompt(root: Path) -> None:
    card = Catalog(root).card(PROMPTED)
    changed = Card.model_validate(card.model_dump() | {"hidden_system": "You are glad."})
    assert len(made_of(card)) == 64
    assert made_of(card) != made_of(changed)
