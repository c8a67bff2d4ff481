"""A sheet of naturalness on a terminal."""

from rich.console import Console
from rich.text import Text

from audit_env.commands.output import table
from audit_env.naturalness.report import GROUPS, difference, passed, said, sections
from audit_env.naturalness.sheet import BANNER, Compared, Naturalness, Row

STYLES = {"deviating": "red", "natural": "green", "improved": "yellow"}


def show(sheet: Naturalness, console: Console) -> None:
    """Print gates, rows and notes.

    Args:
        sheet: The sheet.
        console: Where to.
    """
    console.print(
        Text(f"Naturalness of {sheet.organism}, base {sheet.base}, sham {sheet.sham or 'none'}", style="bold")
    )
    console.print(Text(BANNER, style="dim"))
    for gate in sheet.gates:
        console.print(Text(f"gate {gate.name}: {passed(gate)} ({gate.says})", style="dim" if gate.passed else "bold"))
    for group, title in GROUPS.items():
        rows = [row for row in sheet.rows if row.group == group]
        if rows:
            console.print(Text(f"\n{title}", style="bold"))
            _print(rows, console)
    for section in sections(sheet):
        console.print(Text(f"\n{section.title}", style="bold"))
        drawn = table(*section.headings)
        for cells in section.rows:
            drawn.add_row(*cells)
        console.print(drawn)


def _print(rows: list[Row], console: Console) -> None:
    drawn = table("row", "n", "base", "organism", "sham", "difference", "verdict", "beside the sham")
    for row in rows:
        drawn.add_row(
            row.name,
            str(row.versus_base.n) if row.versus_base else "",
            *("" if value is None else f"{value:.3f}" for value in (row.base, row.target, row.sham)),
            difference(row.versus_base) if row.versus_base else "",
            Text(said(row.verdict), style=STYLES.get(row.verdict, "")),
            _beside(row.versus_sham),
        )
    console.print(drawn)
    for row in rows:
        if row.note:
            console.print(Text(f"{row.name}: {row.note}", style="dim"))


def _beside(found: Compared | None) -> Text:
    return Text("") if found is None else Text(said(found.verdict), style=STYLES.get(found.verdict, ""))
