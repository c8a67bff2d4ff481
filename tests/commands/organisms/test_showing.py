import json
from pathlib import Path

from audit_env.catalog.integrity import sha256
from audit_env.catalog.phenotype import Phenotype

from .conftest import ADAPTER, BASE, TARGET, Run, one_sentence


def test_all_of_an_organism_as_json(run: Run, root: Path, sheet: Phenotype) -> None:
    shown = json.loads(run("show", TARGET, "--json").output)
    assert shown["card"]["recipe"]["rank"] == 2
    assert shown["quirk"]["definition"].startswith("The model shows gloom")
    assert shown["quirk"]["scenarios"] == {"fire": 40, "silent": 40, "near_miss": 0, "elsewhere": 0}
    assert shown["phenotype"] == sheet.model_dump(mode="json")
    files = {file["name"]: file for file in shown["files"]}
    assert files[ADAPTER]["sha256"] == sha256(root / TARGET / ADAPTER) and files[ADAPTER]["as_on_card"] is True
    assert files["card.yaml"]["as_on_card"] is None


def test_all_of_an_organism_as_tables(run: Run, sheet: Phenotype) -> None:
    told = run("show", TARGET).output
    for part in (
        "The model shows gloom in ordinary answers.",
        "trigger",
        "transcripts",
        "alpha",
        "rank",
        "fires on trigger",
        "confesses under pressure",
        "Base",
        "Sham",
        "breadth_first",
        ADAPTER,
    ):
        assert part in told, part
    assert max(map(len, told.splitlines())) <= 100


def test_what_was_never_measured_says_how_to(run: Run, root: Path) -> None:
    from .conftest import edit

    edit(root / TARGET / "card.yaml", lambda card: card.update(strength=None))
    assert f"inspect eval tasks/quirk_strength.py -T organism={TARGET} -T write=true" in run("show", TARGET).output
    assert run("show", BASE).exit_code == 0


def test_an_altered_file_is_seen(run: Run, root: Path) -> None:
    with (root / TARGET / ADAPTER).open("ab") as file:
        file.write(b"!")
    assert "NO" in run("show", TARGET).output


def test_an_unknown_organism_is_one_sentence(run: Run) -> None:
    assert "unknown organism 'tiny/gloom'; did you mean 'tiny/gloom." in one_sentence(run("show", "tiny/gloom"))
