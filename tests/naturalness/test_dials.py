"""What a dial does, and what is luck of the seed, over pairs of organisms with planted figures."""

from collections.abc import Mapping
from math import sqrt
from statistics import stdev

import pytest

from audit_env.naturalness.by_recipe import cells, markdown
from audit_env.naturalness.dials import dials, dials_markdown, seeds, seeds_markdown
from audit_env.naturalness.sheet import Compared, Conditions, Naturalness, Row

BY_QUIRK = {"a": 0.1, "b": 0.5, "c": 0.3}
"""Drift of the organisms as the recipe makes them: they differ by their quirks."""


def sheet(organism: str, drift: float, sham: str | None = None) -> Naturalness:
    known = {"low": drift, "high": drift, "low90": drift, "high90": drift, "n": 60, "clusters": 60}
    compared = Compared(difference=drift, **known, p_beyond=0.5, adjusted=0.5, verdict="inconclusive")
    row = Row(
        name="drift",
        title="Drift",
        set="everyday",
        group="diagnostic",
        worse="higher",
        unit="bits",
        margin=0.1,
        beyond=0.1,
        why="",
        verdict="inconclusive",
        versus_base=compared,
    )
    unmeasured = row.model_copy(update={"name": "leaks", "verdict": "not_measured", "versus_base": None})
    conditions = Conditions(
        code="", bank="", bank_sha256="0" * 64, engine="small", seed=0, temperature=1.0, zero_adapter=True
    )
    return Naturalness(
        organism=organism,
        made_of="0" * 64,
        base="f/base",
        sham=sham,
        conditions=conditions,
        gates=(),
        rows=(row, unmeasured),
    )


def zoo(dial: str, moves: Mapping[str, float]) -> list[Naturalness]:
    """All organisms of a recipe, and some of them with a dial turned."""
    plain = [sheet(f"f/{quirk}.transcripts.none", drift) for quirk, drift in BY_QUIRK.items()]
    return plain + [
        sheet(f"f/{quirk}.transcripts.none.{dial}", BY_QUIRK[quirk] + move) for quirk, move in moves.items()
    ]


def test_a_dial_is_told_by_pairs_and_not_by_the_quirks_that_have_it() -> None:
    # The organism with the dial has the largest drift of all, and the dial lowered it.
    sheets = [*zoo("rank1", {"b": -0.04, "c": -0.06}), sheet("f/alone.documents.none.rank1", 9.0)]
    [found] = dials(sheets)
    assert (found.row, found.recipe, found.dial, found.pairs) == ("drift", "transcripts.none", "rank1", 2)
    assert (found.without, found.with_it) == pytest.approx((0.4, 0.35))
    assert found.difference.mean == pytest.approx(-0.05)
    assert found.difference.low is not None and found.difference.low < -0.06 < -0.04 < (found.difference.high or 0)
    assert "| drift | transcripts.none | rank1 | 2 | +0.400 | +0.350 | -0.050 [" in dials_markdown([found])
    assert seeds(sheets) == []


def test_a_dial_that_changes_nothing_is_in_no_table() -> None:
    found = dials(zoo("at3", dict.fromkeys(BY_QUIRK, 0.0)))
    assert [(one.pairs, one.difference.mean, one.difference.low) for one in found] == [(3, 0.0, None)]
    assert "at3" not in dials_markdown(found)
    assert "rank1" not in dials_markdown(dials(zoo("rank1", {"a": 0.1})), rows=["leaks"])


def test_luck_of_the_seed_stands_beside_what_quirks_differ_by() -> None:
    sheets = zoo("s1", {"a": 0.1, "b": -0.1})
    [luck] = seeds(sheets)
    assert (luck.recipe, luck.pairs, luck.difference.mean) == ("transcripts.none", 2, pytest.approx(0.0))
    assert luck.of_seeds == pytest.approx(sqrt(0.01 / 2))
    assert luck.of_organisms == pytest.approx(stdev(BY_QUIRK.values()))
    assert "| drift | transcripts.none | 2 | " in seeds_markdown([luck]) and dials(sheets) == []
    shams = [sheet(f"f/sham.documents.none{seed}", drift) for seed, drift in (("", 0.0), (".s1", 0.2), (".s2", -0.2))]
    [luck] = seeds(shams)
    assert (luck.recipe, luck.pairs, luck.of_organisms) == ("sham documents.none", 2, None)
    assert "transcripts" not in seeds_markdown(seeds(zoo("s1", {"a": 0.0})))


def test_the_luck_of_shams_is_in_the_interval_where_there_are_several() -> None:
    sham = "f/sham.documents.none"
    candid = "f/sham.documents.none.candid"
    organisms = [sheet(f"f/{quirk}.documents.none", drift, sham) for quirk, drift in BY_QUIRK.items()]
    organisms.append(sheet("f/a.documents.none.candid", 0.1, candid))
    shams = [sheet(sham, 0.1), sheet(f"{sham}.s1", 0.3), sheet(f"{sham}.own", 0.2), sheet(candid, 0.9)]
    found = {cell.recipe: cell for cell in cells([*organisms, *shams])}
    cell = found["documents.none"]
    assert cell.shams == 3 and cell.versus_shams is not None
    assert cell.versus_shams.mean == pytest.approx(0.1)
    # Both vary: variances 0.04 and 0.01 of three each, 2.94 degrees of freedom, of which two count.
    half = 4.302653 * sqrt(0.04 / 3 + 0.01 / 3)
    assert (cell.versus_shams.low, cell.versus_shams.high) == pytest.approx((0.1 - half, 0.1 + half), abs=1e-4)
    assert found["documents.none.candid"].shams == 1 and found["documents.none.candid"].versus_shams is None
    assert found["sham documents.none"].shams == 0
    assert ", 3 shams |" in markdown([cell])
