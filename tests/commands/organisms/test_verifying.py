import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from audit_env.catalog.phenotype import Phenotype

from .conftest import ADAPTER, BASE, TARGET, Run, edit, one_sentence, write_sheet


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def with_rate(sheet: Phenotype, hits: int) -> dict[str, Any]:
    """The sheet with another number of hits on trigger."""
    data = sheet.model_dump(mode="json")
    target = data["firing"]["fire"]["target"]
    target["rate"] = round(hits / target["n"], 4)
    return data


def hits(sheet: Phenotype) -> int:
    assert sheet.firing
    target = sheet.firing.fire.target
    return round(target.rate * target.n)


class TestFiles:
    def test_sound_organisms_pass(self, run: Run) -> None:
        told = run("verify", "--sample", "0")
        assert told.exit_code == 0 and "7 of 7 organisms are sound." in told.output

    def test_files_alone_need_no_torch(self, root: Path) -> None:
        arguments = ["organisms", "--root", str(root), "verify", "--sample", "0"]
        program = (
            f"import sys, audit_env.cli as c; c.main({arguments}, standalone_mode=False); print('torch' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "False"

    def test_a_wrong_hash(self, run: Run, root: Path) -> None:
        flip(root / TARGET / ADAPTER)
        assert "not the weights its card was written for" in one_sentence(run("verify", TARGET, "--sample", "0"))

    def test_a_pickle(self, run: Run, root: Path) -> None:
        (root / TARGET / "training_args.bin").write_bytes(b"")
        assert "pickled weights can run code" in one_sentence(run("verify", TARGET))

    @pytest.mark.parametrize("name", ["modeling_tiny.py", "kernel.so"])
    def test_code(self, run: Run, root: Path, name: str) -> None:
        (root / BASE / name).write_bytes(b"")
        assert "a model that brings code of its own is never loaded" in one_sentence(run("verify", BASE))

    def test_a_config_that_asks_for_code(self, run: Run, root: Path) -> None:
        path = root / BASE / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": {"AutoModel": "modeling.Tiny"}}))
        assert "field 'auto_map' asks for code" in one_sentence(run("verify", BASE))

    def test_a_bad_card(self, run: Run, root: Path) -> None:
        edit(root / TARGET / "card.yaml", lambda card: card["recipe"].update(rank="two"))
        assert "field 'recipe.rank'" in one_sentence(run("verify", TARGET))

    def test_one_fault_does_not_hide_another(self, run: Run, root: Path) -> None:
        flip(root / TARGET / ADAPTER)
        edit(root / "sets" / "tiny.yaml", lambda game_set: game_set["targets"].append("tiny/nobody"))
        told = run("verify", "--sample", "0", "--json")
        assert told.exit_code == 1 and told.stderr.count("\n") == 2
        found = json.loads(told.stdout)
        assert [row["id"] for row in found["organisms"] if not row["sound"]] == [TARGET]
        assert not found["sound"] and "unknown organism 'tiny/nobody'" in found["catalogue"][0]

    def test_in_a_real_process(self, root: Path) -> None:
        flip(root / TARGET / ADAPTER)
        command = [sys.executable, "-c", "from audit_env.cli import main; main()", "organisms", "--root", str(root)]
        done = subprocess.run([*command, "verify", TARGET, "--sample", "0"], capture_output=True, text=True)
        assert done.returncode == 1 and "0 of 1 organisms are sound." in done.stdout
        assert done.stderr.count("\n") == 1 and "not the weights its card was written for" in done.stderr


class TestFigures:
    @pytest.mark.parametrize("how", [["--sample", "20"], ["--exact"]])
    def test_a_true_sheet_holds(self, run: Run, sheet: Phenotype, how: list[str]) -> None:
        told = run("verify", TARGET, *how, "--json")
        assert told.exit_code == 0, told.stderr
        [row] = json.loads(told.stdout)["organisms"]
        assert {(each["split"], each["side"]) for each in row["compared"]} == {
            (split, side) for split in ("fire", "silent") for side in ("target", "base", "sham")
        }
        assert {each["again"]["n"] for each in row["compared"]} == ({80} if how == ["--exact"] else {40})

    def test_the_babble_is_fit_for_this_test(self, sheet: Phenotype) -> None:
        assert 20 <= hits(sheet) <= 60

    @pytest.mark.parametrize("told", [0, 80])
    def test_a_made_up_rate_is_refuted(self, run: Run, root: Path, sheet: Phenotype, told: int) -> None:
        write_sheet(root, with_rate(sheet, told))
        sentence = one_sentence(run("verify", TARGET))
        assert f"its sheet says that the organism fires on trigger at {told / 80:.2f} (n=80)" in sentence
        assert f"-T organism={TARGET} -T write=true" in sentence

    def test_one_answer_more_is_refuted_only_where_the_same_counts_are_asked_for(
        self, run: Run, root: Path, sheet: Phenotype
    ) -> None:
        write_sheet(root, with_rate(sheet, hits(sheet) + 1))
        assert run("verify", TARGET, "--sample", "40").exit_code == 0
        assert "the organism fires on trigger at" in one_sentence(run("verify", TARGET, "--exact"))

    def test_other_code_cannot_promise_the_same_counts(self, run: Run, root: Path, sheet: Phenotype) -> None:
        data = sheet.model_dump(mode="json")
        data["firing"]["conditions"]["code"] = "0.0.0+00000000"
        write_sheet(root, data)
        assert run("verify", TARGET).exit_code == 0
        assert "measured by audit_env 0.0.0+00000000" in one_sentence(run("verify", TARGET, "--exact"))

    def test_the_card_stands_in_for_a_missing_sheet(self, run: Run) -> None:
        # The fixture's card says that no base ever fires, and this one babbles.
        assert "that the base fires on trigger at 0.00 (n=50), but it does" in run("verify", TARGET).stderr

    def test_a_void_sheet_is_a_fault(self, run: Run, root: Path, sheet: Phenotype) -> None:
        write_sheet(root, sheet.model_dump(mode="json") | {"weights_sha256": "0" * 64})
        assert "it was measured on others; run  inspect eval" in one_sentence(run("verify", TARGET, "--sample", "0"))

    def test_what_was_never_measured_is_no_fault_and_says_so(self, run: Run, root: Path) -> None:
        edit(root / TARGET / "card.yaml", lambda card: card.update(strength=None))
        told = run("verify", TARGET, "--json")
        assert told.exit_code == 0
        assert "no figures on record" in json.loads(told.stdout)["organisms"][0]["not_measured"]
