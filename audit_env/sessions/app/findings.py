"""Answers and readings that can be cited as evidence."""

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.message import Message
from textual.widgets import DataTable, Static

from audit_env.sessions.app.pane import Pane
from audit_env.sessions.app.text import cell, literal
from audit_env.sessions.view import Finding, View


class Cite(Message):
    """A player cites a finding.

    Args:
        finding: Its id.
        where: "track" or "report".
    """

    def __init__(self, finding: str, where: str) -> None:
        super().__init__()
        self.finding, self.where = finding, where


class GoOn(Message):
    """A player goes on from an answer in a conversation.

    Args:
        finding: Its id.
    """

    def __init__(self, finding: str) -> None:
        super().__init__()
        self.finding = finding


class Findings(Pane):
    """A table of them, and all of the one that one stands on."""

    NAME = "Findings"
    KEY = "f5"
    BINDINGS = [
        Binding("t", "cite('track')", "Track"),
        Binding("r", "cite('report')", "Report"),
        Binding("g", "go_on", "Go on"),
    ]

    def compose(self) -> ComposeResult:
        """Its parts."""
        table: DataTable[object] = DataTable(cursor_type="row", id="findings-table")
        table.add_columns("id", "from", "call", "asked", "text")
        yield table
        with VerticalScroll(id="finding", can_focus=True):
            yield Static(literal("No answers and readings yet."))

    async def show(self, view: View) -> None:
        """Add what is new; a table of another game is begun anew."""
        table = self._table
        if table.row_count > len(view.findings) or (table.row_count and not _begins(table, view)):
            table.clear()
        at_end = table.cursor_row >= table.row_count - 1
        for one in view.findings[table.row_count :]:
            cells = (one.id, one.source, str(one.at_call), one.asked, one.text)
            table.add_row(*map(cell, cells), key=one.id)
        if at_end and table.row_count:
            table.move_cursor(row=table.row_count - 1)

    def enter(self) -> None:
        """Go to the table."""
        self.go_to(self._table)

    def action_cite(self, where: str) -> None:
        """Cite the finding that one stands on."""
        if one := self._here:
            self.post_message(Cite(one.id, where))

    def action_go_on(self) -> None:
        """Go on from the answer that one stands on."""
        if (one := self._here) and one.source == "target":
            self.post_message(GoOn(one.id))
        else:
            self.notify("One can only go on from an answer of the target.", markup=False)

    @property
    def _table(self) -> "DataTable[object]":
        return self.query_one("#findings-table", DataTable)

    @property
    def _here(self) -> Finding | None:
        findings = self.link.view.findings if self.link.view else ()
        return findings[self._table.cursor_row] if 0 <= self._table.cursor_row < len(findings) else None

    @on(DataTable.RowHighlighted)
    def _detail(self) -> None:
        if one := self._here:
            asked = f"asked: {one.asked}\n" if one.asked else ""
            self.query_one("#finding Static", Static).update(literal(f"{one.id} ({one.source})\n{asked}{one.text}"))


def _begins(table: "DataTable[object]", view: View) -> bool:
    """Whether the table holds the first of these findings."""
    *_, last = table.get_row_at(table.row_count - 1)
    return str(last) == str(cell(view.findings[table.row_count - 1].text))
