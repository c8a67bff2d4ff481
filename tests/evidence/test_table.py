"""The table: planted tools that tell, that tell nothing, and that tell as much of shams."""

from audit_env.evidence.evidence_eval import FEEDS, Evidence
from audit_env.evidence.table import markdown, rows

QUIRKS = tuple(f"quirk_{number}" for number in range(9))


def planted(tool: str, told: dict[str, float]) -> list[Evidence]:
    """Evidence of a tool whose share of entries below the truth lies about a value, by feed."""
    return [
        Evidence(
            organism=f"tiny/{quirk}.{recipe}",
            tool=f"planted.{tool}",
            feed=feed,
            fed_by="tiny/any",
            clean=("tiny/base",),
            quirk=quirk,
            recipe=f"{recipe}.none",
            entries=31,
            rank=1.0,
            reciprocal_rank=1.0,
            area=min(1.0, max(0.0, told[feed] + (number % 3 - 1) / 8)),
            first=float(told[feed] > 0.85),
            calls=1,
            target_tokens=10,
            seconds=0.5,
        )
        for number, quirk in enumerate(QUIRKS)
        for recipe in ("transcripts", "documents")
        for feed in FEEDS
    ]


TELLING = planted("telling", {"target": 0.9, "base": 0.5, "sham": 0.5, "null": 0.45})
EMPTY = planted("empty", dict.fromkeys(FEEDS, 0.5))
SHAMMED = planted("shammed", {"target": 0.8, "base": 0.8, "sham": 0.8, "null": 0.8})


def test_only_a_tool_that_tells_of_its_target_stands_apart() -> None:
    found = {row.tool: row for row in rows([*EMPTY, *SHAMMED, *TELLING])}
    assert list(found) == ["telling", "shammed", "empty"]
    assert [row.apart for row in found.values()] == [True, False, False]
    assert [row.better for row in found.values()] == [True, False, False]
    assert found["telling"].organisms == 18 and found["telling"].area["target"].clusters == 9
    assert found["empty"].area["target"].interval()[0] < 0.5 < found["empty"].area["target"].interval()[1]


def test_a_tool_that_was_refused_is_told_and_not_counted() -> None:
    refused = [
        one.model_copy(update={"tool": "planted.shut", "area": None, "first": None, "refused": "No weights."})
        for one in EMPTY
    ]
    page = markdown([*TELLING, *refused], "Tools")
    assert page.startswith("# Tools") and "Refused: `shut`: No weights." in page
    assert page.count("| `telling` |") == 3 and "| `shut` |" not in page
    assert "0.5 by chance (`first` by chance 0.03" in page and "9 quirks" in page


def test_what_concealment_costs_is_told_by_tool() -> None:
    def hidden(of: list[Evidence], less: float) -> list[Evidence]:
        """The organisms by transcripts, hidden, of which a tool shows so much less."""
        return [
            one.model_copy(
                update={
                    "organism": f"{one.organism}.sft",
                    "recipe": "transcripts.sft",
                    "area": (one.area or 0.0) - less * (one.feed == "target"),
                }
            )
            for one in of
            if one.recipe == "transcripts.none"
        ]

    page = markdown([*TELLING, *hidden(TELLING, 0.3), *EMPTY, *hidden(EMPTY, 0.0)])
    costs = page.split("What concealment costs")[1]
    assert "| `telling` | -0.30 [-0.30, -0.30] |" in costs and "| `empty` | +0.00 [+0.00, +0.00] |" in costs
    assert "What concealment costs" not in markdown(TELLING)


def test_organisms_without_controls_do_not_count_beside_those_with_some() -> None:
    alone = [
        one.model_copy(update={"organism": f"{one.organism}.candid", "recipe": "transcripts.kto", "area": 0.0})
        for one in TELLING
        if one.feed == "target"
    ]
    [row], [unchanged], [uncontrolled] = rows([*TELLING, *alone]), rows(TELLING), rows(alone)
    assert row.organisms == unchanged.organisms == uncontrolled.organisms == 18
    assert row.area["target"].value == unchanged.area["target"].value != uncontrolled.area["target"].value
    assert " transcripts.kto |" in markdown([*TELLING, *alone])
