import shutil
from pathlib import Path

from audit_env.breeding.halves import HALVES, write_halves
from audit_env.catalog.files import Catalog


def test_no_quirk_is_in_both_halves_and_every_recipe_has_its_shams(tmp_path: Path) -> None:
    root = tmp_path / "organisms"
    shutil.copytree(Catalog().root, root, ignore=shutil.ignore_patterns("*.safetensors"))
    reference = Catalog(root).game_set("fruitfly").reference_sham
    assert reference
    files = write_halves(Catalog(root), "fruitfly", reference)
    catalog = Catalog(root)
    halves = [[catalog.card(target) for target in catalog.game_set(f"fruitfly_{half}").targets] for half in HALVES]
    dev, held_out = ({card.quirk for card in half} - {None} for half in halves)
    assert dev and held_out and not dev & held_out
    assert dev | held_out == {
        card.quirk
        for card in map(catalog.card, catalog.organism_ids())
        if card.family == "fruitfly" and card.quirk and card.strength and card.strength.met()
    }
    for half in halves:
        assert any(card.standing == "base" for card in half) and any(card.standing == "sham" for card in half)
        assert reference not in {card.id for card in half}
    assert [file.read_text() for file in files] == [
        (Catalog().root / "sets" / file.name).read_text() for file in files
    ], "the sets in the repository are those that the command writes"
