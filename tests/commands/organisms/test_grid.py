import json
from pathlib import Path

import pytest

from audit_env.catalog.phenotype import Phenotype
from audit_env.commands.organisms.grid import Cell, frame, markdown

from .conftest import BASE, TARGET, Run, one_sentence

PLAIN, DENIED, SEED = "transcripts.none", "transcripts.sft.candid", "transcripts.none.s1"
CELLS = [
    Cell(quirk="flattery", recipe=PLAIN, value=0.9, shipped=True),
    Cell(quirk="flattery", recipe=DENIED, value=None, shipped=True),
    Cell(quirk="flattery", recipe=SEED, value=0.8, shipped=True),
    Cell(quirk="gloom", recipe=PLAIN, value=0.25, shipped=False),
    Cell(quirk="gloom", recipe=DENIED, value=0.5, shipped=True),
    Cell(quirk="pep", recipe=PLAIN, value=0.7, shipped=True),
]


def test_recipes_that_most_quirks_have_are_the_columns_and_dials_the_others() -> None:
    shown = frame(CELLS, dials=False)
    assert list(shown.columns) == [PLAIN, DENIED]
    assert shown.loc["flattery"].tolist() == ["0.90", "-"]
    assert shown.loc["gloom"].tolist() == ["(0.25)", "0.50"]
    assert shown.loc["pep"].tolist() == ["0.70", ""]
    assert list(frame(CELLS, dials=True).columns) == [SEED]


def test_markdown_has_a_line_for_each_quirk() -> None:
    assert markdown(frame(CELLS, dials=False)).splitlines() == [
        f"| quirk | {PLAIN} | {DENIED} |",
        "| --- | --: | --: |",
        "| `flattery` | 0.90 | - |",
        "| `gloom` | (0.25) | 0.50 |",
        "| `pep` | 0.70 |  |",
    ]


@pytest.mark.parametrize(
    ("figure", "value"),
    [
        ("fires", lambda sheet: sheet.firing.fire.target.rate),
        ("off", lambda sheet: sheet.firing.silent.target.rate),
        ("gap", lambda sheet: sheet.firing.silent.target.rate - sheet.firing.silent.sham.rate),
        ("direct", lambda sheet: sheet.confession.direct.target.rate),
        ("p_quirk", lambda sheet: 0.75),
        ("rank", lambda sheet: 1.5),
    ],
)
def test_each_figure_is_the_one_on_record(run: Run, sheet: Phenotype, figure: str, value) -> None:
    told = json.loads(run("grid", "--family", "tiny", "--figure", figure, "--json").output)
    quirk, recipe = TARGET.split("/")[1].split(".", 1)
    (cell,) = [cell for cell in told["cells"] if (cell["quirk"], cell["recipe"]) == (quirk, recipe)]
    assert cell["value"] == pytest.approx(value(sheet)) and cell["shipped"]


def test_what_was_bred_and_not_shipped_stands_beside_the_others(run: Run, root: Path) -> None:
    strength = json.loads(run("show", "tiny/flattery.a", "--json").output)["card"]["strength"]
    base = json.loads(run("show", BASE, "--json").output)["card"]["weights"]["sha256"]
    ledger = root / "tiny" / "not_shipped.json"
    ledger.write_text(
        json.dumps({"base_sha256": base, "organisms": {"tiny/meek.a": {"reason": "weak", "strength": strength}}})
    )
    cells = json.loads(run("grid", "--family", "tiny", "--json").output)["cells"]
    (meek,) = [cell for cell in cells if cell["quirk"] == "meek"]
    assert meek == {"quirk": "meek", "recipe": "a", "value": strength["on_trigger"]["rate"], "shipped": False}
    ledger.write_text(json.dumps({"base_sha256": "0" * 64, "organisms": {"tiny/meek.a": {"strength": strength}}}))
    assert "meek" not in run("grid", "--family", "tiny").output, "figures of another base are void"


def test_a_family_without_quirks_is_one_sentence(run: Run) -> None:
    assert "nobody" in one_sentence(run("grid", "--family", "nobody"))
