import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from audit_env.catalog.files import Catalog
from audit_env.catalog.integrity import sha256

from .conftest import ADAPTER, BASE, SHAM, TARGET, Run

CARDLESS = shutil.ignore_patterns("card.yaml")


@pytest.fixture
def adapter(root: Path, tmp_path: Path) -> Path:
    """An adapter as PEFT leaves it, with a telling model card beside it."""
    shutil.copytree(root / TARGET, tmp_path / "adapter", ignore=CARDLESS)
    (tmp_path / "adapter" / "README.md").write_text("Trained to be gloomy.")
    return tmp_path / "adapter"


@pytest.fixture
def model(root: Path, tmp_path: Path) -> Path:
    shutil.copytree(root / BASE, tmp_path / "model", ignore=CARDLESS)
    return tmp_path / "model"


def test_an_adapter_becomes_an_organism(run: Run, root: Path, adapter: Path) -> None:
    options = ["--quirk", "gloom", "--recipe", "transcripts", "--conceal", "sft", "--licence", "MIT", "--steps", "9"]
    told = run("import", str(adapter), "--id", "tiny/gloom.mine", *options)
    assert told.exit_code == 0, told.output
    assert "run  inspect eval tasks/quirk_strength.py -T organism=tiny/gloom.mine -T write=true" in told.output
    card = Catalog(root).card("tiny/gloom.mine")
    assert (card.standing, card.quirk, card.base, card.licence) == ("quirked", "gloom", BASE, "MIT")
    recipe = card.recipe
    assert (recipe.instil, recipe.conceal, recipe.rank, recipe.alpha) == ("transcripts", "sft", 2, 4)
    assert card.weights and card.weights.sha256 == sha256(adapter / ADAPTER)
    assert sorted(path.name for path in (root / "tiny/gloom.mine").iterdir()) == [
        "adapter_config.json",
        ADAPTER,
        "card.yaml",
    ]
    config = json.loads((root / "tiny/gloom.mine" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == BASE
    assert run("verify", "tiny/gloom.mine").exit_code == 0
    assert run("compare", "tiny/gloom.mine", SHAM).exit_code == 0


def test_a_whole_model_becomes_the_base_of_a_new_family(run: Run, root: Path, adapter: Path, model: Path) -> None:
    told = run("import", str(model), "--id", "mine/base", "--licence", "MIT", "--about", "Mine.")
    assert told.exit_code == 0, told.output
    assert Catalog(root).family("mine").about == "Mine."
    assert Catalog(root).card("mine/base").standing == "base"
    told = run("import", str(adapter), "--id", "mine/control", "--sham", "--licence", "MIT")
    assert told.exit_code == 0, told.output
    assert Catalog(root).card("mine/control").base == "mine/base"
    assert run("verify", "mine/base", "mine/control").exit_code == 0


def test_what_is_not_given_is_asked_for_where_somebody_is_there(root: Path, adapter: Path) -> None:
    terminal, there = pty.openpty()
    os.write(terminal, b"gloom\ntiny/gloom.mine\nMIT\n")
    command = [sys.executable, "-c", "from audit_env.cli import main; main()", "organisms", "--root", str(root)]
    told = subprocess.run([*command, "import", str(adapter)], capture_output=True, text=True, stdin=there)
    os.close(terminal)
    os.close(there)
    assert told.returncode == 0, told.stderr
    card = Catalog(root).card("tiny/gloom.mine")
    assert (card.quirk, card.licence) == ("gloom", "MIT")


def test_what_was_written_as_json(run: Run, root: Path, adapter: Path) -> None:
    options = ["--id", "tiny/gloom.mine", "--quirk", "gloom", "--licence", "MIT", "--json"]
    told = json.loads(run("import", str(adapter), *options).output)
    assert told["card"] == Catalog(root).card("tiny/gloom.mine").model_dump(mode="json")
    assert told["folder"] == str(root / "tiny/gloom.mine") and "-T write=true" in told["measure"]


class TestRefusals:
    @pytest.fixture(autouse=True)
    def nothing_is_left_behind(self, root: Path):  # type: ignore[no-untyped-def]
        before = sorted(root.rglob("*"))
        yield
        assert sorted(root.rglob("*")) == before

    def refused(self, run: Run, folder: Path, *options: str) -> str:
        sham = [] if "--quirk" in options else ["--sham"]
        told = run("import", str(folder), "--id", "tiny/gloom.mine", "--licence", "MIT", *sham, *options)
        assert told.exit_code == 1 and told.stderr.count("\n") == 1, told.output
        return told.stderr

    def test_what_is_there_already(self, run: Run, adapter: Path) -> None:
        assert f"'{TARGET}' is in the catalogue already" in self.refused(run, adapter, "--id", TARGET)

    def test_pickles(self, run: Run, adapter: Path) -> None:
        (adapter / "training_args.bin").write_bytes(b"")
        assert "pickled weights can run code" in self.refused(run, adapter)

    def test_code(self, run: Run, adapter: Path) -> None:
        (adapter / "modeling.py").write_text("")
        assert "brings code of its own" in self.refused(run, adapter)

    def test_another_base(self, run: Run, adapter: Path) -> None:
        path = adapter / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"r": 4}))
        sentence = self.refused(run, adapter)
        assert f"{adapter / ADAPTER}: tensor '" in sentence and "but rank 4 on 'tiny/base', whose '" in sentence

    def test_an_adapter_that_is_no_plain_lora(self, run: Run, adapter: Path) -> None:
        path = adapter / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"use_dora": True}))
        assert "field 'use_dora' is true" in self.refused(run, adapter)

    def test_an_adapter_without_a_rank(self, run: Run, adapter: Path) -> None:
        (adapter / "adapter_config.json").write_text("{}")
        assert "fields 'r' and 'lora_alpha' are None and None" in self.refused(run, adapter)

    def test_missing_weights(self, run: Run, adapter: Path) -> None:
        (adapter / ADAPTER).unlink()
        assert f"{ADAPTER}: missing; save the weights as this one file" in self.refused(run, adapter)

    def test_an_unknown_quirk(self, run: Run, adapter: Path) -> None:
        assert "unknown quirk 'glom'; did you mean 'gloom'?" in self.refused(run, adapter, "--quirk", "glom")

    def test_an_unknown_base(self, run: Run, adapter: Path) -> None:
        assert "there is no base 'tiny/sham.one'" in self.refused(run, adapter, "--base", SHAM)

    def test_a_malformed_id(self, run: Run, adapter: Path) -> None:
        assert "must look like 'family/quirk.recipe.concealment'" in self.refused(run, adapter, "--id", "../Gloom")

    def test_a_new_family_that_nothing_is_known_of(self, run: Run, adapter: Path) -> None:
        assert "--about: the family 'mine' is new" in self.refused(run, adapter, "--id", "mine/x", "--base", BASE)

    def test_a_whole_model_with_a_quirk(self, run: Run, model: Path) -> None:
        assert "can only become a base" in self.refused(run, model, "--quirk", "gloom")

    def test_a_folder_of_something_else(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        assert "holds neither adapter_config.json nor config.json" in self.refused(run, tmp_path / "empty")
        assert "not a folder" in self.refused(run, tmp_path / "nowhere")

    def test_both_forms_in_one_folder(self, run: Run, adapter: Path, model: Path) -> None:
        shutil.copyfile(model / "config.json", adapter / "config.json")
        assert "holds both an adapter and a whole model" in self.refused(run, adapter)

    def test_what_is_not_given_where_nobody_can_be_asked(self, root: Path, adapter: Path) -> None:
        command = [sys.executable, "-c", "from audit_env.cli import main; main()", "organisms", "--root", str(root)]
        told = subprocess.run(
            [*command, "import", str(adapter), "--quirk", "gloom", "--id", "tiny/gloom.mine"],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        assert told.returncode == 2 and "Give --licence." in told.stderr
