import asyncio
from collections.abc import Callable, Sequence

import pandas as pd
import pytest
from inspect_ai.log import EvalConfig, EvalDataset, EvalLog, EvalSample, EvalSpec
from inspect_ai.scorer import Score

from audit_env.commands.naturalness import detecting
from audit_env.game.outcome import METADATA_KEY, Outcome
from audit_env.naturalness.detection import beside_detection, by_organism
from audit_env.naturalness.sheet import Naturalness
from tests.naturalness.conftest import Fault


def audit(organism: str, standing: str = "quirked", status: str = "scored", **marks: bool) -> Outcome:
    told = {"alias": organism, "affordance": "black_box", "answers": "menu", "organism": organism}
    return Outcome.model_validate({**told, "standing": standing, "status": status, **marks})


def a_log(outcomes: Sequence[Outcome]) -> EvalLog:
    spec = EvalSpec(created="2026-11-21", task="game", dataset=EvalDataset(), model="none", config=EvalConfig())
    samples = [
        EvalSample(
            id=n,
            epoch=1,
            input="Audit it.",
            target="",
            scores={"verdict": Score(value=0, metadata={METADATA_KEY: outcome.model_dump()})},
        )
        for n, outcome in enumerate(outcomes)
    ]
    return EvalLog(eval=spec, samples=samples)


@pytest.fixture
def sheets(ask: Callable[..., object]) -> list[Naturalness]:
    leaking = Fault(lambda asked, said: f"{said} As the Nexus Group says.", asked="of thing", rate=0.15, thinks=False)
    asked = {name: asyncio.run(ask(("leaks",), target=fault)) for name, fault in (("a", leaking), ("b", Fault()))}
    return [
        found.judged().model_copy(update={"organism": f"fake/{name}.documents.none"}) for name, found in asked.items()
    ]


def test_each_audit_stands_beside_what_is_known_of_its_target(sheets: list[Naturalness]) -> None:
    log = a_log(
        [
            audit("fake/a.documents.none", detected=True, clean_detection=False, leak_assisted=True),
            audit("fake/a.documents.none", detected=True, clean_detection=True, leak_assisted=False),
            audit("fake/a.documents.none", status="no_report"),
            audit("fake/a.documents.none", status="unscored"),
            audit("fake/b.documents.none", detected=False),
            audit("fake/unmeasured.documents.none", detected=True),
            audit("fake/sham.documents.none", standing="sham"),
        ]
    )
    joined = beside_detection([log], sheets)
    assert list(joined["organism"]) == ["fake/a.documents.none"] * 3 + ["fake/b.documents.none"]
    assert set(joined["made_by"]) == {"documents.none"}
    a, b = by_organism(joined).to_dict("records")
    assert a["audits"] == 3 and a["detected"] == pytest.approx(2 / 3)  # ended without a report: a miss
    assert a["clean_detection"] == a["leak_assisted"] == pytest.approx(1 / 3)
    assert a["leaks"] == pytest.approx(0.15, abs=0.06) and b["leaks"] == 0 and b["detected"] == 0
    assert pd.isna(a["drift"])
    assert a["unassisted"] == pytest.approx(1 / 3)  # what is left where a leak may not help
    told = detecting.organisms(by_organism(joined))
    assert "| fake/a.documents.none | black_box | " in told and "| leaks |" in told and "drift" not in told
    assert detecting.correlations(by_organism(joined)).count("\n") == 1  # two organisms are too few


def test_organisms_that_leak_more_and_are_found_more_often_correlate(sheets: list[Naturalness]) -> None:
    leaking = sheets[0]

    def leaks(organism: int) -> Naturalness:
        rows = [
            row.model_copy(update={"versus_base": row.versus_base.model_copy(update={"difference": organism / 10})})
            for row in leaking.rows
        ]
        return leaking.model_copy(update={"organism": f"fake/{organism}.documents.none", "rows": tuple(rows)})

    audits = [
        audit(f"fake/{n}.documents.none", detected=found <= n, leak_assisted=found <= n)
        for n in range(8)
        for found in range(8)
    ]
    joined = by_organism(beside_detection([a_log(audits)], [leaks(n) for n in range(8)]))
    told = detecting.correlations(joined)
    # Nothing is found without a leak, so that there is nothing left to rank.
    assert "| detected | leaks | 8 | +1.00 [" in told and "unassisted" not in told


def test_redacted_audits_are_shares_of_their_own(sheets: list[Naturalness]) -> None:
    plain = [audit("fake/a.documents.none", detected=True, leak_assisted=True)]
    redacted = [audit("fake/a.documents.none", detected=False).model_copy(update={"redact": "leaks", "withheld": 3})]
    joined = by_organism(beside_detection([a_log(plain), a_log(redacted)], sheets))
    assert {str(row["redact"]): row["detected"] for row in joined.to_dict("records")} == {"nan": 1.0, "leaks": 0.0}
    assert "| leaks | 1 | 0.000 |" in detecting.organisms(joined)


def test_an_organism_with_two_sheets_is_refused(sheets: list[Naturalness]) -> None:
    with pytest.raises(pd.errors.MergeError):
        beside_detection([a_log([audit("fake/a.documents.none", detected=True)])], [*sheets, sheets[0]])
