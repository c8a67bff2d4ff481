import asyncio
import json
from collections.abc import Callable

import pytest
from rich.console import Console

from audit_env.commands.naturalness import terminal
from audit_env.errors import ParameterError
from audit_env.naturalness.logs import joined
from audit_env.naturalness.measures import ROWS as ALL_ROWS
from audit_env.naturalness.prompts import GENERAL
from audit_env.naturalness.references import references
from audit_env.naturalness.report import beside, markdown
from audit_env.naturalness.sheet import BANNER, NEVER_MEASURED, Naturalness
from tests.naturalness.conftest import Fault

ROWS = ("instructions", "leaks", "facts", "leaks_on")
LOUD = Fault(lambda asked, said: f"{said} | <b>Nexus Group</b> ``x``", asked="of thing", rate=0.15)


@pytest.fixture
def sheet(ask: Callable[..., object]) -> Naturalness:
    return asyncio.run(ask(ROWS, target=LOUD)).judged()


def test_the_report_says_all_that_a_reader_needs(sheet: Naturalness) -> None:
    told = markdown(sheet)
    for part in (BANNER, "zero adapter", "base again", "deviating", "not measured", "Worst exchanges", *NEVER_MEASURED):
        assert part in told
    leaks = next(row for row in sheet.rows if row.name == "leaks")
    assert f"{leaks.versus_base.difference:+.3f} [" in told
    assert "fires on trigger" in told or "Quirk `flattery`: not measured" in told


def test_a_table_survives_whatever_was_said(sheet: Naturalness) -> None:
    for line in markdown(sheet).splitlines():
        if line.startswith("|") and not line.startswith(("| gate", "| ---")):
            cells = line.replace("\\|", "").count("|") - 1
            assert cells in (3, 10)


def test_published_figures_stand_beside_the_general_prompts_alone(sheet: Naturalness) -> None:
    under = sheet.conditions.model_copy(update={"bank": GENERAL})
    told = markdown(sheet.model_copy(update={"conditions": under}))
    assert "Qwen2.5-14B, emergent misalignment" in told and "defer_to_users, thinking" not in told
    assert "Published figures" not in markdown(sheet)
    assert {one.row for one in references()} <= set(ALL_ROWS)


def test_json_holds_every_figure(sheet: Naturalness) -> None:
    assert Naturalness.model_validate(json.loads(sheet.model_dump_json())) == sheet


def test_the_terminal_shows_rows_gates_and_notes(sheet: Naturalness) -> None:
    console = Console(width=160, record=True, file=None, quiet=False)
    with console.capture() as caught:
        terminal.show(sheet, console)
    told = caught.get()
    assert "instructions" in told and "deviating" in told and "gate base again: yes" in told


def test_organisms_stand_beside_each_other_only_if_measured_alike(sheet: Naturalness) -> None:
    other = sheet.model_copy(update={"organism": "fake/other.transcripts.none"})
    table = beside(joined([sheet, other]))
    assert "| row | `fake/flattery.transcripts.none` | `fake/other.transcripts.none` |" in table
    elsewhere = other.model_copy(update={"conditions": sheet.conditions.model_copy(update={"seed": 3})})
    with pytest.raises(ParameterError, match="field 'seed' of their conditions is 0 and 3"):
        joined([sheet, elsewhere])
    with pytest.raises(ParameterError, match="in the logs twice"):
        joined([sheet, sheet])
