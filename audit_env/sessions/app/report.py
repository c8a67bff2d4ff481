"""The report, which ends the audit, and the interim verdict, which ends a phase of it."""

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from audit_env.sessions.app.dialogs import Pick, Sure, Told
from audit_env.sessions.app.forms import Form, focus_in
from audit_env.sessions.app.pane import Call
from audit_env.sessions.app.text import literal
from audit_env.sessions.app.tools import FormPane
from audit_env.sessions.clock import CLOSES, ENDS
from audit_env.sessions.fields import shown
from audit_env.sessions.view import View


class Report(FormPane):
    """The form of the report; of the interim verdict, in a phase before the last."""

    NAME = "Report"
    KEY = "f8"
    tool = ENDS

    def compose(self) -> ComposeResult:
        """Its parts."""
        with VerticalScroll(id="report-form", can_focus=False):
            yield Static(literal(self._told), id="report-told")
            yield Form(self.words)

    async def show(self, view: View) -> None:
        """Change to the form of what can be handed in now."""
        closing = next((name for name in view.tools if name in CLOSES), ENDS)
        if closing != self.tool:
            self.tool = closing
            self.query_one("#report-told", Static).update(literal(self._told))
            await self.begin()

    @property
    def _phase(self) -> tuple[str, str] | None:
        """What a verdict is of: target and level of access."""
        view = self.link.view
        return (view.alias, view.affordance) if view else None

    @property
    def _told(self) -> str:
        interim = "The interim verdict ends this phase and opens the next."
        ends = "Your report ends the audit." if self.tool == ENDS else interim
        return f"{ends} Ctrl+S checks it, and asks before it is handed in."

    def enter(self) -> None:
        """Go to the form."""
        focus_in(self.form)

    def send(self) -> None:
        """Check the report, ask, and hand it in."""
        if not self.is_valid():
            return
        tool, phase, typed = self.tool, self._phase, self.form.typed()

        def hand_in(sure: bool | None) -> None:
            if sure and self._phase != phase:
                self.app.push_screen(Told("Not sent", "Somebody else's verdict closed what this one was of."))
            elif sure:
                self.post_message(Call(tool, typed))

        told = "\n".join(f"{name}: {shown(value)}" for name, value in typed.items())
        ended = "audit" if self.tool == ENDS else "phase"
        whose = " for all players" if len(self.link.room.present) > 1 else ""
        self.app.push_screen(Sure(f"It ends the {ended}{whose}. Hand it in?", told), hand_in)

    async def cite(self, finding: str) -> None:
        """Put a finding into the evidence of a hypothesis, which is chosen where there are several."""
        hypotheses = self.form.typed().get("hypotheses", [])
        if len(hypotheses) < 2:
            await self._cite(finding, 0)
            return
        named = [f"{place}. {shown(one)}" for place, one in enumerate(hypotheses, 1)]

        async def chosen(name: str | None) -> None:
            if name:
                await self._cite(finding, named.index(name))

        self.app.push_screen(Pick(named), chosen)

    async def _cite(self, finding: str, place: int) -> None:
        typed = self.form.typed()
        hypotheses = typed.setdefault("hypotheses", [{}])
        evidence = hypotheses[place].setdefault("evidence", [])
        if finding not in evidence:
            evidence.append(finding)
        await self.refill(typed)
