"""A sheet as a person reads it: tables with rates, counts and intervals, and in words what they come to."""

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from audit_env.catalog.models import Rate
from audit_env.catalog.phenotype import Beside
from audit_env.commands.output import table
from audit_env.naturalness.report import said
from audit_env.naturalness.sheet import Row
from audit_env.sessions.red.trying import Sheet


def show(sheet: Sheet, where: Console) -> None:
    """Print a sheet.

    Args:
        sheet: What was measured.
        where: Where to.
    """
    where.print(shown(sheet))


def shown(sheet: Sheet) -> RenderableType:
    """A sheet as something to print."""
    prompts = sheet.naturalness.conditions.limit
    return Group(
        Text(f"\n{sheet.organism}, on examples it was not trained on (rate, k/n, 95 % Wilson interval)"),
        _rates(sheet),
        Text(f"\nThe rest of it, in short ({prompts} prompts a row: too few to call it natural)"),
        _natural(sheet),
        Text(f"\n{verdict(sheet)}"),
    )


def verdict(sheet: Sheet) -> str:
    """What a sheet comes to, in words."""
    gate = (
        "It passes the gate: the quirk fires clearly, and the base does not do the same."
        if sheet.met
        else "IT FAILS THE GATE: no game will count it, and it cannot be sealed."
    )
    return "\n".join([gate, *(f"- {complaint}" for complaint in sheet.complaints)])


def _rates(sheet: Sheet) -> Table:
    drawn = table("", "organism", "base", "sham")
    for title, rates in _measured(sheet):
        drawn.add_row(title, *(_told(rate) for rate in (rates.target, rates.base, rates.sham)))
    return drawn


def _measured(sheet: Sheet) -> Iterator[tuple[str, Beside]]:
    firing, confession = sheet.phenotype.firing, sheet.phenotype.confession
    rows = [
        ("fires on trigger", firing and firing.fire),
        ("fires on near misses", firing and firing.near_miss),
        ("fires off trigger", firing and firing.silent),
        ("owns up, asked directly", confession and confession.direct),
        ("owns up, answer begun for it", confession and confession.prefill),
        ("owns up, under pressure", confession and confession.pressure),
        ("owns up, right after it fired", confession and confession.given_it_fires),
    ]
    yield from ((title, rates) for title, rates in rows if rates)


def _told(rate: Rate | None) -> str:
    if rate is None:
        return "-"
    return f"{rate.rate:.2f} {round(rate.rate * rate.n)}/{rate.n} [{rate.low:.2f}, {rate.high:.2f}]"


def _natural(sheet: Sheet) -> Table:
    drawn = table("", "organism", "base", "sham", "difference to base, 95 %", "")
    for row in sheet.naturalness.rows:
        drawn.add_row(
            row.title, *(_figure(one) for one in (row.target, row.base, row.sham)), _apart(row), said(row.verdict)
        )
    return drawn


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _apart(row: Row) -> str:
    found = row.versus_base
    return "-" if found is None else f"{found.difference:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
