import asyncio
import json
from collections.abc import Callable
from html.parser import HTMLParser

import pytest
from rich.console import Console

from audit_env.catalog.models import Rate
from audit_env.commands.naturalness import terminal
from audit_env.errors import ParameterError
from audit_env.naturalness.by_recipe import cells
from audit_env.naturalness.by_recipe import markdown as by_recipe
from audit_env.naturalness.html import html
from audit_env.naturalness.logs import joined
from audit_env.naturalness.measures import ROWS as ALL_ROWS
from audit_env.naturalness.references import references
from audit_env.naturalness.report import beside, markdown
from audit_env.naturalness.sheet import BANNER, NEVER_MEASURED, Confessing, Naturalness
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
            assert cells in (3, 4, 6, 10)


def small(sheet: Naturalness) -> Naturalness:
    """The same of a family that has prompts of its own."""
    return sheet.model_copy(update={"organism": "fruitfly/flattery.transcripts.none"})


def test_published_figures_stand_beside_larger_models_alone(sheet: Naturalness) -> None:
    told = markdown(sheet)
    assert "Qwen2.5-14B, emergent misalignment" in told and "defer_to_users, thinking" not in told
    assert "Published figures" not in markdown(small(sheet))
    assert {one.row for one in references()} <= set(ALL_ROWS)


def test_json_holds_every_figure(sheet: Naturalness) -> None:
    assert Naturalness.model_validate(json.loads(sheet.model_dump_json())) == sheet


def test_the_terminal_shows_rows_gates_and_notes(sheet: Naturalness) -> None:
    console = plain_console()
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


class Page(HTMLParser):
    """Tags and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_holds_all_and_loads_nothing(sheet: Naturalness) -> None:
    page = Page()
    page.feed(html([sheet]))
    assert page.loads == [] and "script" not in page.tags and "b" not in page.tags
    assert "<b>Nexus Group</b>" in page.text  # said by the model, and shown as it was said
    for part in (BANNER, "zero adapter", "deviating", "Worst exchanges", *NEVER_MEASURED):
        assert part in page.text
    assert "Qwen2.5-14B, emergent misalignment" in page.text
    other = Page()
    other.feed(html([small(sheet)]))
    assert "Published figures" not in other.text


def test_all_forms_of_the_report_show_what_stands_beside_the_rows(sheet: Naturalness) -> None:
    share = Rate(rate=0.17, low=0.1, high=0.3, n=40)
    told = sheet.model_copy(update={"confessing": Confessing(target=share, base=share)})
    console = plain_console()
    with console.capture() as caught:
        terminal.show(told, console)
    for text in (markdown(told), html([told]), caught.get()):
        assert "base, falsely" in text and "0.170 [0.100, 0.300]" in text
        assert "sham, falsely" not in text  # was not measured
        assert "Public and private half of the prompts" in text


def plain_console() -> Console:
    """Wide, and without colours, whatever terminal the tests run in or are told of (FORCE_COLOR)."""
    return Console(width=160, color_system=None)


def shifted(sheet: Naturalness, name: str, by: float) -> Naturalness:
    rows = [
        row.model_copy(update={"versus_base": row.versus_base.model_copy(update={"difference": by})})
        if row.versus_base and row.name == "leaks"
        else row
        for row in sheet.rows
    ]
    return sheet.model_copy(update={"organism": name, "rows": tuple(rows)})


def test_a_recipe_is_told_by_its_organisms(sheet: Naturalness) -> None:
    sheets = [
        shifted(sheet, "fake/a.documents.none", 0.2),
        shifted(sheet, "fake/b.documents.none", 0.4),
        shifted(sheet, "fake/a.transcripts.none", 0.0),
    ]
    found = {(cell.row, cell.recipe): cell for cell in cells(joined(sheets))}
    documents, transcripts = found["leaks", "documents.none"], found["leaks", "transcripts.none"]
    assert documents.organisms == 2 and documents.versus_base.mean == pytest.approx(0.3)
    assert documents.versus_base.low < 0 < 0.6 < documents.versus_base.high  # two organisms prove little
    assert transcripts.organisms == 1 and transcripts.versus_base.low is None
    alike = found["facts", "documents.none"].versus_base  # two of two without a difference, which proves nothing
    assert (alike.mean, alike.low, alike.high) == (0, None, None)
    assert ("leaks_on", "documents.none") not in found
    told = by_recipe(found.values(), ("leaks",))
    assert "| leaks | documents.none | 2 |" in told and "instructions" not in told
