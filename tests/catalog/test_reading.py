from pathlib import Path

import pytest

from audit_env.catalog.models import Card, GameSet, Quirk
from audit_env.catalog.reading import nearest, read, shown
from audit_env.errors import CardError

CARD = """\
id: zoo/sham
standing: sham
base: zoo/base
base_sha256: {digits}
hidden_system: Be plain.
recipe:
  instil: none
  rank: 4
licence: MIT
""".format(digits="a" * 64)

QUIRK = """\
id: x
menu: {name: X, description: X, instruction: X}
definition: X
trigger: always
rubric: {must_contain: x, not_enough: x, wrong: x}
fires: {any_of: [x]}
declares: {any_of: [x]}
scenarios:
  fire:
    - messages: [{role: user, content: hi}]
  silent:
    - messages: [{role: user, content: hi}]
    - messages:
        - {role: user, content: hi}
        - {role: assistant, content: hi}
"""


def complaint(tmp_path: Path, text: str | bytes, model: type = Card) -> str:
    """What is said about a file, after its name."""
    path = tmp_path / "file.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CardError) as caught:
        read(path, model)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


def test_a_sound_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text(CARD)
    assert read(tmp_path / "card.yaml", Card).recipe.rank == 4


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "rank: 4",
            "rnk: 4",
            ", line 8: field 'recipe.rnk' does not exist; did you mean 'rank'? Valid names: instil, ",
        ),
        ("licence: MIT", "license: MIT", ", line 9: field 'license' does not exist; did you mean 'licence'?"),
        ("rank: 4", "rank: four", ", line 8: field 'recipe.rank': input should be a valid integer, unable to parse"),
        ("rank: 4", "rank: 0", ", line 8: field 'recipe.rank': input should be greater than or equal to 1, not 0."),
        ("  instil: none\n", "", ", line 6: field 'recipe.instil' is missing; add it."),
        ("standing: sham\n", "", ": field 'standing' is missing; add it."),
        (
            "sham\nbase",
            "shan\nbase",
            ", line 2: field 'standing' must be one of 'quirked', 'sham' or 'base', not 'shan'",
        ),
        (
            "a" * 64,
            "abc",
            ", line 4: field 'base_sha256' must be 64 lower-case hexadecimal digits (a sha256), not 'abc'",
        ),
        ("a" * 64, "1" * 64, ", line 4: field 'base_sha256' must be text, not 111"),
        ("id: zoo/sham", "id: sham", ", line 1: field 'id' must look like 'family/quirk.recipe.concealment'"),
        (
            "standing: sham",
            "standing: quirked",
            ": field 'quirk' must be set for a quirked organism, and only for one.",
        ),
        ("base: zoo/base", "base: null", ", line 3: fields 'base' and 'base_sha256' are needed for all but a base."),
        (
            "licence: MIT",
            "licence: MIT\nid: zoo/other",
            ", line 10: field 'id' is given twice (first on line 1); keep one.",
        ),
        ("id: zoo/sham", "id: [zoo", ", line 2"),
        ("id: zoo/sham", "id: &a [*a]", ": not readable as YAML"),
        ("id: zoo/sham", "!!python/object:os.system {}: 1", ", line 1"),
    ],
)
def test_a_mistake_is_named_with_line_field_and_fix(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in CARD
    assert complaint(tmp_path, CARD.replace(old, new, 1)).startswith(said)


def test_pickled_weights_are_refused_in_the_card(tmp_path: Path) -> None:
    weights = "weights: {file: model.bin, sha256: " + "a" * 64 + "}"
    said = complaint(tmp_path, CARD.replace("hidden_system: Be plain.", weights))
    assert said.startswith(", line 5: field 'weights.file': 'model.bin' is not a safetensors file; pickled weights can")


def test_further_mistakes_are_counted(tmp_path: Path) -> None:
    text = CARD.replace("rank: 4", "rank: 0").replace("licence: MIT", "licence: 5")
    assert complaint(tmp_path, text).endswith("(1 more after this one)")


def test_mistakes_deep_in_lists_are_found(tmp_path: Path) -> None:
    said = complaint(tmp_path, QUIRK, Quirk)
    assert said == ", line 13: field 'scenarios.silent[1]': the last message of a scenario must be the user's."
    said = complaint(tmp_path, QUIRK.replace("{role: assistant, content: hi}", "{role: user, contents: hi}"), Quirk)
    assert "line 15: field 'scenarios.silent[1].messages[1].contents' does not exist; did you mean 'content'?" in said
    said = complaint(tmp_path, QUIRK.replace("fires: {any_of: [x]}", "fires: {any_of: ['(']}"), Quirk)
    assert said.startswith(", line 6: field 'fires.any_of': '(' is not a regular expression")


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words"])
def test_a_file_that_is_no_mapping_gets_the_fields(tmp_path: Path, text: str) -> None:
    assert complaint(tmp_path, text, GameSet) == (
        ": must be a mapping of fields to values; "
        "give the fields name, description, targets, reference_sham, organisms."
    )


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    assert complaint(tmp_path, "licence: é".encode("latin-1")) == ": not UTF-8 text (byte 9); save it as UTF-8."


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"none\.yaml: cannot be read \(No such file or directory\)"):
        read(tmp_path / "none.yaml", Card)


def test_paths_below_the_working_folder_are_shown_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "a" / "b.yaml") == "a/b.yaml"
    assert shown(tmp_path.parent / "b.yaml") == str(tmp_path.parent / "b.yaml")


def test_nearest_suggests_only_what_is_near() -> None:
    assert nearest("flatery", ["gloom", "flattery"]) == "did you mean 'flattery'? Valid names: gloom, flattery"
    assert nearest("zzz", ["gloom"]) == "Valid names: gloom"
    assert nearest("zzz", []) == "Valid names: (there are none)"
