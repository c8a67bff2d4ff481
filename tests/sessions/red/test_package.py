import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("torch")
pytest.importorskip("peft")

from audit_env.catalog import seal as sealing  # noqa: E402
from audit_env.catalog.files import Catalog  # noqa: E402
from audit_env.catalog.models import MenuEntry  # noqa: E402
from audit_env.cli import main  # noqa: E402
from audit_env.errors import AuditEnvError, CardError, SealError, WeightsError  # noqa: E402
from audit_env.sessions.errors import SessionError  # noqa: E402
from audit_env.sessions.red import building  # noqa: E402
from audit_env.sessions.red.adapters import CONFIG, WEIGHTS, header  # noqa: E402
from audit_env.sessions.red.building import TRUTH  # noqa: E402
from audit_env.sessions.red.opening import check  # noqa: E402
from audit_env.sessions.red.package import MANIFEST, pack, unpack  # noqa: E402
from audit_env.sessions.red.receiving import take  # noqa: E402
from audit_env.sessions.red.sealing import Opening, read_opening, seal  # noqa: E402
from tests.sessions.red.conftest import ANSWER, CLAUSE, QUIRK_ID, SECRET  # noqa: E402


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["session", "red", *map(str, arguments)])


def rewritten(package: Path, out: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """A package with other contents."""
    with zipfile.ZipFile(package) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out


def test_no_byte_of_a_package_tells_what_its_targets_are(handed_out) -> None:
    folder, opening, package = handed_out
    # As it lies on disk: nothing in it is compressed.
    raw = package.read_bytes()
    own = opening.truth.quirk.entry()
    cards = [target.card for target in opening.truth.targets]
    secrets = [
        opening.salt,
        ANSWER,
        SECRET,
        opening.truth.quirk.definition,
        "sham",
        "quirked",
        "transcripts",
        "animal_welfare",
        folder.name + "/",
        *(str(card.recipe.data_sha256) for card in cards),
        *(message.content for scenario in opening.truth.quirk.scenarios.fire for message in scenario.messages),
        *opening.truth.quirk.fires.any_of,
    ]
    assert not [secret for secret in secrets if secret.encode() in raw]
    # The quirk's menu entry is there, and only among distractors of the same form.
    assert raw.count(QUIRK_ID.encode()) == raw.count(CLAUSE.encode()) == 1
    manifest = unpack(package).manifest
    assert own in manifest.entries and len(manifest.entries) == 4
    with zipfile.ZipFile(package) as archive:
        entries = archive.infolist()
        assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
        assert not any(entry.extra or entry.comment for entry in entries) and not archive.comment
        configs = {archive.read(entry) for entry in entries if entry.filename.endswith(CONFIG)}
    assert len(configs) == 1 and len({entry.file_size for entry in entries if WEIGHTS in entry.filename}) == 1
    assert {entry.filename for entry in entries} == {MANIFEST} | {
        f"{target.name}/{name}" for target in manifest.targets for name in (CONFIG, WEIGHTS)
    }
    assert all(re.fullmatch(r"sealed_[0-9a-f]{8}", target.name) for target in manifest.targets)


def test_weights_of_a_package_hold_tensors_and_no_notes(handed_out, tmp_path: Path) -> None:
    _, _, package = handed_out
    for name, weights in unpack(package).weights.items():
        (tmp_path / name).write_bytes(weights)
        told = header(tmp_path / name)
        assert told.pop("__metadata__") == {"format": "pt"}
        assert all(re.fullmatch(r"base_model\.model\.model\.layers\.\d\.\S+\.lora_[AB]\.weight", key) for key in told)


def test_weights_with_notes_are_not_handed_out(team: Path) -> None:
    from safetensors.numpy import load_file, save_file

    opening = seal(team)
    path = team / building.ORGANISM / WEIGHTS
    save_file(load_file(path), path, metadata={"trained_on": "pity"})
    with pytest.raises(WeightsError, match="holds more than a plain adapter's.*trained_on"):
        pack(team, opening, team / "x.zip")
    assert not (team / "x.zip").exists()


ATTACKS: dict[str, Callable[[dict[str, bytes]], object]] = {
    "traversal": lambda files: files.update({"../../evil.yaml": b"x"}),
    "absolute": lambda files: files.update({"/tmp/evil.yaml": b"x"}),
    "code": lambda files: files.update({"model.py": b"x"}),
    "pickle": lambda files: files.update({"adapter_model.bin": b"x"}),
    "no manifest": lambda files: files.pop(MANIFEST),
    "missing": lambda files: files.pop(next(name for name in files if name.endswith(WEIGHTS))),
    "bomb": lambda files: files.update({next(n for n in files if n.endswith(CONFIG)): b"0" * (1 << 22)}),
    "weights": lambda files: files.update({next(n for n in files if n.endswith(WEIGHTS)): b"0" * 99}),
    "config": lambda files: files.update({next(n for n in files if n.endswith(CONFIG)): b'{"auto_map": {}}'}),
    "manifest": lambda files: files.update({MANIFEST: files[MANIFEST].replace(b"sealed_", b"../sealed_")}),
    "field": lambda files: files.update({MANIFEST: b'{"standing": "quirked"}'}),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_package_that_is_none_is_refused_and_writes_nothing(handed_out, tmp_path: Path, attack: str) -> None:
    spoilt = rewritten(handed_out[2], tmp_path / "spoilt.zip", ATTACKS[attack])
    with pytest.raises(AuditEnvError):
        unpack(spoilt)
    assert list(tmp_path.iterdir()) == [spoilt]


def test_a_file_that_is_no_zip_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_text("hello")
    told = run("take", tmp_path / "x.zip", "--set", tmp_path / "game.yaml")
    assert told.exit_code == 1 and "not readable as a package" in told.stderr


def changed(opening: Opening, change: Callable[[dict[str, Any]], object], *, seal_anew: bool) -> Opening:
    data = opening.model_dump(mode="json")
    change(data["truth"])
    if seal_anew:
        data["commitment"] = sealing.commit(data["truth"], data["salt"])
    return Opening.model_validate(data)


TAMPERED: dict[str, Callable[[dict[str, Any]], object]] = {
    "rubric": lambda truth: truth["quirk"]["rubric"].update(must_contain="Anything."),
    "standing": lambda truth: truth["targets"][0].update(standing="base"),
    "seed": lambda truth: truth["targets"][0]["card"]["recipe"].update(seed=7),
    "weights": lambda truth: truth["targets"][0]["card"]["weights"].update(sha256="0" * 64),
    "order": lambda truth: truth["targets"].reverse(),
    "scenario": lambda truth: truth["quirk"]["scenarios"]["fire"].pop(),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_truth_that_was_changed_opens_nothing(handed_out, tmp_path: Path, what: str) -> None:
    _, opening, package = handed_out
    path = tmp_path / TRUTH
    path.write_text(changed(opening, TAMPERED[what], seal_anew=False).model_dump_json())
    with pytest.raises(SealError, match="do not give the commitment"):
        read_opening(path)
    with pytest.raises(SealError, match="belongs to another package, or was sealed again"):
        check(unpack(package), changed(opening, TAMPERED[what], seal_anew=True))


def test_the_truth_that_was_sealed_opens_its_package(handed_out) -> None:
    folder, opening, package = handed_out
    told = run("open", package, folder / TRUTH)
    assert told.exit_code == 0 and f"The seal holds: {opening.commitment}" in told.output.replace("\n", "")
    assert SECRET in told.output and "a sham, without a quirk" in told.output
    assert (folder / TRUTH).stat().st_mode & 0o077 == 0


def test_swapped_targets_and_other_entries_do_not_open(handed_out, tmp_path: Path) -> None:
    _, opening, package = handed_out
    received = unpack(package)
    swapped = received.manifest.model_copy(
        update={
            "targets": tuple(
                one.model_copy(update={"weights_sha256": other.weights_sha256})
                for one, other in zip(received.manifest.targets, reversed(received.manifest.targets), strict=True)
            )
        }
    )
    with pytest.raises(SealError, match="not those that the truth was sealed for"):
        check(received.model_copy(update={"manifest": swapped}), opening)
    fewer = received.manifest.model_copy(update={"entries": received.manifest.entries[1:]})
    with pytest.raises(SealError, match="menu entries are not those"):
        check(received.model_copy(update={"manifest": fewer}), opening)


def test_a_sealed_folder_is_sealed_once(team: Path) -> None:
    seal(team)
    with pytest.raises(SessionError, match="sealed already.*--again"):
        seal(team)
    assert seal(team, again=True).truth.entries == ()


def test_too_few_distractors_or_one_that_is_taken_are_refused(team: Path) -> None:
    path = team / "menu.yaml"
    path.write_text("distractors:\n  - {id: gloom, name: x, description: x, instruction: x}\n")
    with pytest.raises(SessionError, match="'gloom' is taken"):
        seal(team, distractors=path)
    path.write_text("distractors:\n  - {id: odd, name: x, description: x, instruction: x}\n")
    with pytest.raises(SessionError, match="nearly tells the truth; write at least 3"):
        seal(team, distractors=path)


def test_what_is_taken_lies_beside_the_set_and_nothing_else_is_touched(handed_out, tmp_path: Path) -> None:
    package, path = unpack(handed_out[2]), tmp_path / "game.yaml"
    shipped = Catalog()
    before = (shipped.root / "menu.yaml").read_bytes(), shipped.organism_ids(), shipped.quirk_ids()
    game_set = take([package], path, ["fruitfly/base"])
    assert sorted(one.name for one in tmp_path.iterdir()) == ["game.organisms", "game.yaml"]
    assert before == ((shipped.root / "menu.yaml").read_bytes(), Catalog().organism_ids(), Catalog().quirk_ids())

    catalog = Catalog().of_set(path)
    assert catalog.root == tmp_path / "game.organisms" and catalog.game_set(path) == game_set
    sealed = [one for one in game_set.targets if one != "fruitfly/base"]
    assert catalog.organism_ids() == sorted([*game_set.targets, "fruitfly/sham.transcripts.none"])
    cards = [catalog.card(one) for one in sealed]
    opaque = [json.loads(card.model_dump_json(exclude={"id", "quirk", "weights"})) for card in cards]
    assert len(sealed) == 2 and opaque[0] == opaque[1] and not any(card.met() for card in cards)
    entries = {entry.id for entry in catalog.menu().entries}
    assert entries >= {QUIRK_ID, "odd_0", "odd_1", "odd_2", "flattery"}
    assert not entries & {card.quirk for card in cards}
    assert all(isinstance(entry, MenuEntry) for entry in package.manifest.entries)


def test_what_cannot_be_taken_is_said_and_leaves_nothing(handed_out, tmp_path: Path) -> None:
    package, path = unpack(handed_out[2]), tmp_path / "game.yaml"
    other = package.manifest.model_copy(update={"base_sha256": "0" * 64})
    with pytest.raises(WeightsError, match="made on the base 000000000000"):
        take([package.model_copy(update={"manifest": other})], path)
    with pytest.raises(SessionError, match="named twice"):
        take([package, package], path)
    with pytest.raises(SessionError, match="no organism and no set 'fruitfly/bse'; did you mean"):
        take([package], path, ["fruitfly/bse"])
    entry = package.manifest.entries[0].model_copy(update={"id": "flattery"})
    taken = package.manifest.model_copy(update={"entries": (entry,)})
    with pytest.raises(SessionError, match="'flattery' has an id that the menu has already"):
        take([package.model_copy(update={"manifest": taken})], path)
    assert list(tmp_path.iterdir()) == []
    path.touch()
    with pytest.raises(SessionError, match="is there already"):
        take([package], path)


def test_a_set_whose_organisms_are_gone_names_its_file_and_field(tmp_path: Path) -> None:
    path = tmp_path / "game.yaml"
    path.write_text("{name: game, description: x, targets: [fruitfly/base], organisms: game.organisms}")
    with pytest.raises(CardError, match="field 'organisms'.*no such folder"):
        Catalog().of_set(path)
