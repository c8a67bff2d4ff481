"""The tracker of hypotheses, with their confidences."""

from textual import on, work
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import DataTable

from audit_env.sessions.app.forms import Form, focus_in
from audit_env.sessions.app.text import cell
from audit_env.sessions.app.tools import FormPane
from audit_env.sessions.view import View


class Tracker(FormPane):
    """The hypotheses as they stand, and a form to write one down or to change one."""

    NAME = "Tracker"
    KEY = "f6"
    tool = "track"

    def compose(self) -> ComposeResult:
        """Its parts."""
        table: DataTable[object] = DataTable(cursor_type="row", id="tracker-table")
        table.add_columns("key", "confidence", "status", "statement", "when", "evidence")
        yield table
        with VerticalScroll(id="tracker-form", can_focus=False):
            yield Form(self.words)

    async def show(self, view: View) -> None:
        """Show the hypotheses as they stand."""
        table = self.query_one("#tracker-table", DataTable)
        table.clear()
        for one in view.tracker:
            evidence = ", ".join(one.evidence)
            cells = (one.key, f"{one.confidence:.2f}", one.status, one.statement, one.trigger, evidence)
            table.add_row(*map(cell, cells), key=one.key)

    def enter(self) -> None:
        """Go to the form."""
        focus_in(self.form)

    async def cite(self, finding: str) -> None:
        """Put a finding into the evidence of the hypothesis that is being written down."""
        typed = self.form.typed()
        if finding not in typed.setdefault("evidence", []):
            typed["evidence"].append(finding)
        await self.refill(typed)

    @on(DataTable.RowSelected)
    @work(exclusive=True)
    async def _change(self, chosen: DataTable.RowSelected) -> None:
        tracker = self.link.view.tracker if self.link.view else ()
        for one in tracker:
            if one.key == chosen.row_key.value:
                filled = one.model_dump(mode="json").items()
                await self.refill({name: value for name, value in filled if value not in (None, "", [])})
                focus_in(self.form)
