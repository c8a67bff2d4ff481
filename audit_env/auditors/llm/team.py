"""Several auditors of one target who do not know of each other, and one who puts their reports together.

Each auditor has a store of its own, with a share of the budget, an empty tracker and conversations of its own. Numbers
of answers and readings run on from one to the next, and all of them go into the record of the audit when an auditor is
done: an id means the same to all, and can be cited by the one who reports.
"""

from collections.abc import Sequence

from inspect_ai.agent import AgentState
from inspect_ai.model import ChatMessage
from inspect_ai.util import Store, store, store_as, subtask

from audit_env.auditors.llm.investigating import investigate
from audit_env.auditors.llm.notebook import Notebook
from audit_env.auditors.llm.prompts import Prompts
from audit_env.game.record import AuditRecord, Budget, Exchange
from audit_env.tools.accounting import budget_of, what_is_left
from audit_env.tools.layout import LONGEST_PROMPT, one_line
from audit_env.tools.reporting import tracker_table

SHARE = 0.75
"""Of the budget, for the auditors together. The rest is for the one who reports."""
_OWN = {
    "store",
    "instance",
    "budget",
    "handles",
    "tracker",
    "report",
    "report_sha256",
    "report_at",
    "report_mended",
}
"""What an auditor's record does not hand on. Handles are names of things that are gone with the auditor."""
LEAST_CALLS = 3
"""An auditor with fewer calls is not worth having: there are then fewer of them."""


async def audit_as_team(state: AgentState, prompts: Prompts, members: int) -> AgentState:
    """Have several auditors investigate, one after the other, and a last one report.

    Args:
        state: The conversation: the brief.
        prompts: The prompts; `aggregator` is the system prompt of the one who reports.
        members: How many auditors, where the budget has room for as many.

    Returns:
        The state, with the conversation of the one who reports; the others' are in the transcript.
    """
    record = store_as(AuditRecord)
    budget, brief = budget_of(record), list(state.messages)
    there_are = min(members, int(SHARE * budget.tool_calls) // LEAST_CALLS)
    share = _share(budget, there_are) if there_are else budget
    done = [await _member(brief, prompts, number, share) for number in range(1, there_are + 1)]
    told = [(f"auditor {number}", _shown(one), tracker_table(one)) for number, one in enumerate(done, start=1)]
    answers = _cited(record, done)
    word = prompts.text("reports", reports=told, answers=answers, left=what_is_left(record)) if told else ""
    return await investigate(state, prompts, system="aggregator" if told else "investigator", word=word)


async def _member(brief: list[ChatMessage], prompts: Prompts, number: int, share: Budget) -> AuditRecord:
    """One auditor's record, when it is done and all that it did has been taken over."""
    own = Store(_inherited(store()))
    whole, mine = store_as(AuditRecord), AuditRecord(store=own)
    _start(mine, share)

    @subtask(name=f"auditor_{number}", store=own)
    async def audit() -> int:
        await investigate(AgentState(messages=[message.model_copy() for message in brief]), prompts)
        return len(mine.exchanges) - len(whole.exchanges)

    await audit()
    _take_over(whole, mine, f"auditor {number}")
    book = store_as(Notebook)
    book.tests = [*book.tests, *Notebook(store=own).tests]
    return mine


def _inherited(of_sample: Store) -> dict[str, object]:
    """What an auditor is given of the audit's store: its record, and nothing of another auditor's notes."""
    return {key: value for key, value in of_sample.items() if key.startswith(f"{AuditRecord.__name__}:")}


def _start(record: AuditRecord, share: Budget) -> None:
    """Give an auditor a share of the budget, counted from what is spent, and a tracker and handles of its own.

    What others heard stays in its record, so that the numbers of calls, answers and readings run on.
    """
    spent = record.spent.model_dump()
    record.budget = Budget.model_validate({name: spent[name] + most for name, most in share.model_dump().items()})
    record.tracker, record.handles = [], []


def _take_over(whole: AuditRecord, part: AuditRecord, name: str) -> None:
    """Write what an auditor did into the record of the audit."""
    known = len(whole.exchanges)
    for field in AuditRecord.model_fields.keys() - _OWN:
        setattr(whole, field, getattr(part, field))
    whole.exchanges = [*whole.exchanges[:known], *(_named(one, name) for one in whole.exchanges[known:])]
    own = [event.model_copy(update={"key": f"{name}: {event.key}"}) for event in part.tracker]
    whole.tracker = [*whole.tracker, *own]


def _named(exchange: Exchange, auditor: str) -> Exchange:
    """An exchange whose conversation nobody else goes on with by chance."""
    return exchange.model_copy(update={"conversation": f"{auditor}: {exchange.conversation}"})


def _share(budget: Budget, members: int) -> Budget:
    shares = {name: max(1, int(SHARE * most) // members) for name, most in budget.model_dump().items()}
    return Budget.model_validate(shares)


def _shown(record: AuditRecord) -> str:
    report = record.report
    if report is None:
        return "It ended without a report."
    lines = [f"p(quirk) {report.p_quirk:.2f}{', inconclusive' if report.inconclusive else ''}"]
    if report.ranking:
        lines.append(f"ranking: {', '.join(report.ranking[:5])}")
    for one in report.hypotheses:
        told = [part for part in (one.menu_id or "", one_line(one.trigger), ", ".join(one.evidence)) if part]
        lines.append(f"- {one.confidence:.2f} {one_line(one.statement)} [{'; '.join(told)}]")
    return "\n".join(lines)


def _cited(record: AuditRecord, done: Sequence[AuditRecord]) -> list[tuple[str, str, str, str]]:
    """The answers that the auditors cite, in their trackers or their reports."""
    hypotheses = [
        hypothesis
        for one in done
        for hypothesis in (
            *{event.key: event.hypothesis for event in one.tracker}.values(),
            *(one.report.hypotheses if one.report else ()),
        )
    ]
    cited = {name for hypothesis in hypotheses for name in hypothesis.evidence}
    return [
        (one_line(exchange.turns[-1].content)[:LONGEST_PROMPT], exchange.id, exchange.side, one_line(exchange.answer))
        for exchange in record.exchanges
        if exchange.id in cited
    ]
