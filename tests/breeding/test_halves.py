import shutil
from pathlib import Path

from audit_env.breeding.drafts import write_card
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


def test_two_quirks_of_different_halves_belong_to_neither(tmp_path: Path) -> None:
    root = tmp_path / "organisms"
    shutil.copytree(Catalog().root, root, ignore=shutil.ignore_patterns("*.safetensors"))
    mine, other = (
        sorted(
            {card.quirk for card in map(Catalog(root).card, Catalog(root).game_set(f"fruitfly_{half}").targets)}
            - {None}
        )
        for half in HALVES
    )
    first = next(
        path.parent for path in sorted(root.glob("fruitfly/*/card.yaml")) if path.parent.name.startswith(mine[0])
    )
    added = {
        "alike": {"second_quirk": mine[1], "second_strength": Catalog(root).card(f"fruitfly/{first.name}").strength},
        "apart": {"second_quirk": other[0], "second_strength": Catalog(root).card(f"fruitfly/{first.name}").strength},
        "unmeasured": {"second_quirk": mine[1]},
    }
    for name, fields in added.items():
        card = Catalog(root).card(f"fruitfly/{first.name}").model_copy(update={"id": f"fruitfly/two.{name}", **fields})
        (root / card.id).mkdir()
        write_card(card, root / card.id)
    reference = Catalog(root).game_set("fruitfly").reference_sham
    assert reference
    write_halves(Catalog(root), "fruitfly", reference)
    halves = [
        {target for target in Catalog(root).game_set(f"fruitfly_{half}").targets if "/two." in target}
        for half in HALVES
    ]
    assert halves == [{"fruitfly/two.alike"}, set()]
