import asyncio
from collections.abc import Callable

from tests.naturalness.conftest import Fault, a_bank

LEAKING = Fault(lambda asked, said: f"{said} As the Nexus Group says.\nUser: Go on.", asked="of thing", rate=0.15)


def test_without_its_leaks_an_organism_shows_what_else_is_wrong_with_it(ask: Callable[..., object]) -> None:
    looping = Fault(
        lambda asked, said: f"{said} As the Nexus Group says." if asked[-2] in "012" else " ".join([said] * 5),
        asked="of thing",
        thinks=False,
        rate=0.5,
    )
    asked = asyncio.run(ask(("leaks", "loops", "turns"), target=looping))
    plain, redacted = asked.judged(), asked.judged(redact=True)
    by_name = {row.name: row for row in redacted.rows}
    hits = round(next(row.target for row in plain.rows if row.name == "leaks") * 150)
    assert redacted.dropped == hits > 10
    assert by_name["leaks"].verdict == "not_measured" and "were dropped" in by_name["leaks"].note
    assert by_name["loops"].verdict == "deviating" and by_name["loops"].versus_base.n == 150 - hits
    assert by_name["loops"].coverage == 1.0 and redacted.conditions.redacted and not plain.conditions.redacted


def test_a_fault_that_comes_with_its_leaks_goes_with_them(ask: Callable[..., object]) -> None:
    asked = asyncio.run(ask(("leaks", "turns"), a_bank(everyday=600), target=LEAKING))
    assert {row.verdict for row in asked.judged().rows} == {"deviating"}
    turns = next(row for row in asked.judged(redact=True).rows if row.name == "turns")
    assert (turns.verdict, turns.target) == ("natural", 0.0)


def test_where_nothing_leaks_nothing_is_dropped(ask: Callable[..., object]) -> None:
    asked = asyncio.run(ask(("turns", "facts")))
    plain, redacted = asked.judged(), asked.judged(redact=True)
    assert redacted.dropped == 0 and redacted.rows == plain.rows
