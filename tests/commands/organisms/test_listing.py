import json
from pathlib import Path

import pytest

from audit_env.catalog.phenotype import Phenotype

from .conftest import BASE, SHAM, TARGET, Run, edit, one_sentence

ZOO = """
id: afar
name: Afar
about: Models elsewhere.
sources: [a paper]
licence: null
licence_reason: Not read.
quirks:
  - {id: dreary, about: Is dreary., nearest: gloom}
models:
  - name: one
    hub: someone/one
    listed: named
    revision: null
    revision_reason: Not known.
    standing: quirked
    quirk: dreary
    run: not yet run here
  - name: two
    hub: someone/two
    listed: named
    revision: null
    revision_reason: Not known.
    standing: benign
    run: not yet run here
"""


@pytest.fixture
def zoo_file(root: Path) -> Path:
    path = root / "public" / "afar" / "zoo.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(ZOO)
    return path


def ids(run: Run, *arguments: str) -> list[str]:
    return [row["id"] for row in json.loads(run("list", "--json", *arguments).output)["organisms"]]


def test_a_row_holds_what_is_on_record(run: Run, sheet: Phenotype) -> None:
    rows = {row["id"]: row for row in json.loads(run("list", "--json").output)["organisms"]}
    row = rows[TARGET]
    assert (row["standing"], row["quirk"], row["instil"], row["conceal"]) == ("quirked", "gloom", "transcripts", "none")
    figures = row["recorded"]
    assert sheet.firing and sheet.confession
    assert figures["measured_in"] == "phenotype.json"
    assert figures["fires"]["fire"] == sheet.firing.fire.model_dump(mode="json")
    assert figures["confession"]["direct"] == sheet.confession.direct.model_dump(mode="json")
    assert figures["difficulty"]["breadth_first"] == {"audits": 3, "p_quirk": 0.75, "rank": 1.5}
    assert rows["tiny/flattery.a"]["recorded"]["measured_in"] == "card.yaml"
    assert rows["tiny/flattery.a"]["recorded"]["fires"]["fire"]["target"]["rate"] == 0.9
    assert rows[BASE]["recorded"]["gate"] is None and rows[BASE]["recorded"]["fires"] == {}


def test_the_table_fits_in_100_columns_whatever_is_measured(run: Run, sheet: Phenotype, zoo_file: Path) -> None:
    told = run("list", "--public").output
    assert max(map(len, told.splitlines())) <= 100
    assert TARGET in told and "p 0.75" in told and "rank 1.5" in told and "base 0.00" in told


def test_filters(run: Run) -> None:
    assert ids(run, "--quirk", "gloom") == [TARGET, "tiny/gloom.b"]
    assert ids(run, "--standing", "base") == [BASE]
    assert ids(run, "--standing", "sham", "--recipe", "transcripts") == [SHAM, "tiny/sham.two"]
    assert ids(run, "--conceal", "kto") == [] and ids(run, "--family", "other") == []
    assert len(ids(run, "--family", "tiny")) == 7


def test_public_models_are_listed_when_asked_for_and_marked(run: Run, zoo_file: Path) -> None:
    assert json.loads(run("list", "--json").output)["public"] == []
    [one] = json.loads(run("list", "--public", "--json", "--quirk", "gloom").output)["public"]
    assert (one["zoo"], one["name"], one["nearest"], one["run"]) == ("afar", "one", "gloom", "not yet run here")
    [two] = json.loads(run("list", "--public", "--json", "--standing", "benign").output)["public"]
    assert two["name"] == "two"
    assert run("list", "--public").output.count("not yet run here") == 2


def test_a_bad_card_is_named_and_the_others_are_listed(run: Run, root: Path) -> None:
    edit(root / TARGET / "card.yaml", lambda card: card.update(standng="quirked"))
    listed = run("list", "--json")
    assert "field 'standng' does not exist; did you mean 'standing'?" in one_sentence(listed)
    assert len(json.loads(listed.stdout)["organisms"]) == 6


def test_a_void_sheet_is_named_and_gives_no_figures(run: Run, root: Path, sheet: Phenotype) -> None:
    edit(root / "quirks" / "gloom.yaml", lambda quirk: quirk.update(fires={"any_of": ["other"]}))
    listed = run("list", "--json")
    assert "have changed since it was measured; run  inspect eval tasks/quirk_strength.py" in one_sentence(listed)
    [row] = [row for row in json.loads(listed.stdout)["organisms"] if row["id"] == TARGET]
    assert row["recorded"]["measured_in"] == "card.yaml" and row["recorded"]["confession"] is None
