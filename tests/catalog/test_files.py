import importlib.resources
import subprocess
import sys
from pathlib import Path

import pytest

from audit_env.catalog import Catalog
from audit_env.errors import CardError

from .conftest import BASE, PROMPTED, QUIRKED, SHAM, edit_yaml, write_yaml


def complaint(call, *args) -> str:  # type: ignore[no-untyped-def]
    with pytest.raises(CardError) as caught:
        call(*args)
    return str(caught.value)


def test_lists_what_is_there(root: Path) -> None:
    catalog = Catalog(root)
    assert catalog.organism_ids() == [BASE, QUIRKED, PROMPTED, SHAM]
    assert catalog.quirk_ids() == ["flattery", "gloom", "loyalty"]
    assert catalog.set_names() == ["small"]


def test_reads_cards_quirks_families_and_norms(root: Path) -> None:
    catalog = Catalog(root)
    assert catalog.card(QUIRKED).quirk == "flattery"
    assert catalog.folder(QUIRKED) == root / "zoo" / "flattery.transcripts.none"
    assert catalog.quirk("gloom").trigger == "always"
    assert catalog.family("zoo").about == "Small models."
    assert catalog.norms("zoo") == [("hi", "hello"), ("a\u2028b", "yes")]


def test_a_family_may_publish_no_norms(root: Path) -> None:
    edit_yaml(root / "zoo" / "family.yaml", lambda family: family.pop("norms"))
    assert Catalog(root).norms("zoo") == []


def test_the_default_root_is_the_installed_organisms_folder() -> None:
    assert Catalog().root == Path(str(importlib.resources.files("audit_env.organisms")))


def test_remembers_what_it_read(root: Path) -> None:
    catalog = Catalog(root)
    before = catalog.card(QUIRKED)
    edit_yaml(root / QUIRKED / "card.yaml", lambda card: card.update(notes="changed"))
    assert catalog.card(QUIRKED) is before
    assert Catalog(root).card(QUIRKED).notes == "changed"


def test_importing_the_catalogue_imports_neither_torch_nor_inspect() -> None:
    script = "import sys, audit_env.catalog.files; print({'torch', 'transformers', 'safetensors'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


class TestMenu:
    def test_holds_quirks_and_distractors_and_none(self, root: Path) -> None:
        menu = Catalog(root).menu()
        assert set(menu.ids()) == {"flattery", "gloom", "loyalty", "brag", "rhyme", "shout", "zeal", "none"}
        assert menu.ids()[-1] == "none"
        assert [entry.id for entry in menu.entries] == list(menu.ids()[:-1])

    def test_its_order_is_neither_alphabetical_nor_quirks_first(self, root: Path) -> None:
        ids = [entry.id for entry in Catalog(root).menu().entries]
        assert ids != sorted(ids)
        assert set(ids[:3]) != {"flattery", "gloom", "loyalty"}

    def test_its_order_does_not_depend_on_the_file(self, root: Path) -> None:
        before = Catalog(root).menu().ids()
        edit_yaml(root / "menu.yaml", lambda menu: (menu["quirks"].reverse(), menu["distractors"].reverse()))
        assert Catalog(root).menu().ids() == before

    def test_shows_only_the_public_part_of_a_quirk(self, root: Path) -> None:
        entry = next(entry for entry in Catalog(root).menu().entries if entry.id == "flattery")
        assert entry.model_dump().keys() == {"id", "name", "description", "instruction"}

    @pytest.mark.parametrize("taken", ["none", "flattery", "brag"])
    def test_an_id_that_is_taken_is_refused(self, root: Path, taken: str) -> None:
        extra = {"id": taken, "name": "x", "description": "x", "instruction": "x"}
        edit_yaml(root / "menu.yaml", lambda menu: menu["distractors"].append(extra))
        message = complaint(Catalog(root).menu)
        assert f"field 'distractors[4]' has the id '{taken}', which is taken" in message

    def test_an_unknown_or_repeated_quirk_is_refused(self, root: Path) -> None:
        edit_yaml(root / "menu.yaml", lambda menu: menu["quirks"].append("glooom"))
        message = complaint(Catalog(root).menu)
        assert "menu.yaml, line 5: field 'quirks[3]': unknown quirk 'glooom'; did you mean 'gloom'?" in message
        edit_yaml(root / "menu.yaml", lambda menu: menu.update(quirks=["gloom", "gloom"]))
        assert "field 'quirks[1]' gives 'gloom' a second time" in complaint(Catalog(root).menu)


class TestGameSet:
    def test_is_found_by_name_and_by_path(self, root: Path, tmp_path: Path) -> None:
        mine = tmp_path / "mine.yaml"
        write_yaml(mine, {"name": "mine", "description": "Mine.", "targets": [SHAM]})
        assert Catalog(root).game_set("small").targets == (QUIRKED, BASE)
        assert Catalog(root).game_set(mine).targets == Catalog(root).game_set(str(mine)).targets == (SHAM,)

    def test_an_unknown_name_gets_the_valid_ones(self, root: Path) -> None:
        assert complaint(Catalog(root).game_set, "smal") == (
            "unknown game set 'smal'; did you mean 'small'? Valid names: small."
        )

    def test_a_path_that_does_not_exist_is_named(self, root: Path, tmp_path: Path) -> None:
        assert f"{tmp_path / 'no.yaml'}: cannot be read" in complaint(Catalog(root).game_set, tmp_path / "no.yaml")

    def test_a_set_without_targets_is_refused(self, root: Path) -> None:
        edit_yaml(root / "sets" / "small.yaml", lambda game_set: game_set.update(targets=[]))
        assert "small.yaml, line 3: field 'targets' is too short: it needs at least 1, and has 0" in complaint(
            Catalog(root).game_set, "small"
        )

    def test_an_unknown_target_is_named_with_its_line(self, root: Path) -> None:
        edit_yaml(root / "sets" / "small.yaml", lambda game_set: game_set["targets"].append("zoo/shame"))
        message = complaint(Catalog(root).game_set, "small")
        assert "line 6: field 'targets[2]': unknown organism 'zoo/shame'; did you mean 'zoo/sham'?" in message
        assert QUIRKED in message

    def test_only_a_sham_can_be_the_reference(self, root: Path) -> None:
        edit_yaml(root / "sets" / "small.yaml", lambda game_set: game_set.update(reference_sham=PROMPTED))
        assert "names 'zoo/gloom.prompt', which is quirked; name a sham" in complaint(Catalog(root).game_set, "small")

    def test_the_reference_is_no_target(self, root: Path) -> None:
        edit_yaml(root / "sets" / "small.yaml", lambda game_set: game_set.update(reference_sham=BASE))
        assert "'zoo/base' cannot be both a target and the reference sham" in complaint(Catalog(root).game_set, "small")

    def test_its_name_is_its_file_s(self, root: Path) -> None:
        edit_yaml(root / "sets" / "small.yaml", lambda game_set: game_set.update(name="tiny"))
        assert "line 1: field 'name' is 'tiny'; it must be 'small'" in complaint(Catalog(root).game_set, "small")


class TestCard:
    def test_an_unknown_organism_gets_the_nearest(self, root: Path) -> None:
        catalog = Catalog(root)
        for call in (catalog.card, catalog.folder, catalog.check):
            message = complaint(call, "zoo/flatery.transcripts.none")
            assert f"did you mean '{QUIRKED}'?" in message
            assert SHAM in message

    def test_an_unknown_quirk_gets_the_nearest(self, root: Path) -> None:
        edit_yaml(root / QUIRKED / "card.yaml", lambda card: card.update(quirk="flatery"))
        message = complaint(Catalog(root).card, QUIRKED)
        assert (
            "field 'quirk': unknown quirk 'flatery'; did you mean 'flattery'? Valid names: flattery, gloom" in message
        )

    def test_an_unknown_base_gets_the_nearest(self, root: Path) -> None:
        edit_yaml(root / QUIRKED / "card.yaml", lambda card: card.update(base="zoo/bass"))
        assert "field 'base': unknown organism 'zoo/bass'; did you mean 'zoo/base'?" in complaint(
            Catalog(root).card, QUIRKED
        )

    def test_its_id_is_its_place(self, root: Path) -> None:
        edit_yaml(root / SHAM / "card.yaml", lambda card: card.update(id="zoo/sham_b"))
        assert "field 'id' is 'zoo/sham_b', but its place says 'zoo/sham'" in complaint(Catalog(root).card, SHAM)


@pytest.mark.parametrize("line", ['{"user": "x"}', "not json", "[1, 2]", ""])
def test_a_bad_norm_is_named_with_its_line(root: Path, line: str) -> None:
    (root / "zoo" / "norms.jsonl").write_text(f'{{"user": "a", "assistant": "b"}}\n{line}\n{{}}\n')
    assert 'norms.jsonl, line 2: not an exchange; write {"user"' in complaint(Catalog(root).norms, "zoo")
