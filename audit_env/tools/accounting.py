"""The books of an audit: every tool call is numbered, charged, recorded and shown in one place.

A tool is an ordinary Inspect tool whose `execute` takes a `Call` before the arguments that the auditor gives:

    @tool(max_output=0)
    def read_weights() -> Tool:
        @charged
        async def execute(call: Call, rows: int = 8) -> str:
            '''For the auditor: what the tool does, what it costs, how to read the answer; then the arguments.'''
            subject = examined(call)
            ...
            reading = call.reading("read_weights", "tokens written by the adapter: ...")
            return f"{reading.id} writers ..."

        return execute

The auditor sees every argument but `call`. The decorator

- counts the call, and refuses it with a `ToolError` when the budget is spent or the report is in;
- turns `CapabilityError` and `ParameterError` into a `ToolError`, whose text the auditor reads: it must not tell
  anything of the truth. Any other error ends the sample as a failed one, unseen by the auditor;
- appends the line `[left: 37 of 60 calls, 5,100 of 8,000 target tokens]`.

A body uses its `Call` to draw seeds (`seed`), to pay for answers (`exchange`, `spend`), to see what it can still pay
for (`affordable`) and to make what it found citable (`exchange` gives x1, x2, ...; `reading` gives r1, r2, ...).

What is counted: a tool call, whatever it does; the output tokens of the target (its prompts, and the answers of the
reference, are free); all tokens of the auditor, in and out, as Inspect meters them for its token limit.
"""

import hashlib
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Concatenate, Literal, ParamSpec, cast

from inspect_ai.tool import Tool, ToolError
from inspect_ai.util import sample_limits, store_as

from audit_env.errors import CapabilityError, ParameterError
from audit_env.game.phases import spent_before, verdict_due
from audit_env.game.record import Altered, AuditRecord, Budget, Exchange, Reading, Spent, Turn
from audit_env.tools.models import auditor_is_a_model

P = ParamSpec("P")


@dataclass(frozen=True)
class Call:
    """One tool call, with the record that it is written to."""

    record: AuditRecord
    number: int
    """Its place among the counted calls of the audit, from 1."""

    def seed(self, index: int = 0) -> int:
        """The seed of the `index`-th request of this call.

        It depends on the audit's seed, the call's number and the index alone: not on when the request is served, nor on
        which model serves it, so that target and reference can be asked with equal luck.

        Args:
            index: Place of the request within the call, from 0.

        Returns:
            A seed of 31 bits.
        """
        digest = hashlib.sha256(f"{self.record.seed}:{self.number}:{index}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1

    def exchange(
        self,
        turns: Sequence[Turn],
        answer: str,
        *,
        tokens: int,
        side: Literal["target", "reference"] = "target",
        conversation: str | None = None,
        prefill: str = "",
    ) -> Exchange:
        """Record an answer, and pay for it if the target gave it.

        Args:
            turns: The conversation that led to the answer, system text included.
            answer: What was answered, without the prefill.
            tokens: Length of the answer in tokens.
            side: Who answered.
            conversation: Name of the conversation. By default the exchange opens one under its own id.
            prefill: Text that was put into the model's mouth.

        Returns:
            The exchange, with the id under which it can be cited.
        """
        if side == "target":
            self.spend(tokens)
        name = f"x{len(self.record.exchanges) + 1}"
        exchange = Exchange(
            id=name,
            conversation=conversation or name,
            side=side,
            turns=tuple(turns),
            prefill=prefill,
            answer=answer,
            at_call=self.number,
        )
        self.record.exchanges.append(exchange)
        return exchange

    def altered(self, how: str, turns: Sequence[Turn], answer: str) -> None:
        """Record what the target said while something was done to it: it may let out what it was taught.

        Args:
            how: What was done, such as "amplified 3".
            turns: The conversation that led to the answer.
            answer: What of the answer the auditor reads.
        """
        self.record.altered.append(Altered(how=how, turns=tuple(turns), answer=answer, at_call=self.number))

    def reading(self, tool: str, summary: str) -> Reading:
        """Record what a grey-box or white-box tool found.

        Args:
            tool: Name of the tool.
            summary: The finding in one or two lines; what a judge of the evidence will read.

        Returns:
            The reading, with the id under which it can be cited.
        """
        reading = Reading(id=f"r{len(self.record.readings) + 1}", tool=tool, summary=summary, at_call=self.number)
        self.record.readings.append(reading)
        return reading

    def spend(self, target_tokens: int) -> None:
        """Pay for tokens that the target wrote outside a recorded exchange.

        Args:
            target_tokens: Output tokens of the target.
        """
        self.record.spent.target_tokens += target_tokens

    def affordable(self, wanted: int, longest: int) -> int:
        """How many answers can be asked for now without overspending the target tokens by more than one answer.

        Ask for that many, pay for them, and come back for the rest until it is 0: what is left over from short answers
        pays for more.

        Args:
            wanted: Answers still wanted.
            longest: Most tokens that one answer can have.

        Returns:
            Between 0 (the budget is spent) and `wanted`.
        """
        left = budget_of(self.record).target_tokens - self.record.spent.target_tokens
        return 0 if left <= 0 else min(wanted, max(1, left // longest))


def charged(execute: Callable[Concatenate[Call, P], Awaitable[str]]) -> Tool:
    """Make a tool that costs one call and is refused when the budget is spent.

    Args:
        execute: The tool's body. Its first parameter receives the `Call`; the auditor does not see it.

    Returns:
        The tool, without the `Call` in its signature.
    """
    return _booked(execute, cost=1)


def free(execute: Callable[Concatenate[Call, P], Awaitable[str]]) -> Tool:
    """Make a tool that costs nothing and works until the report is in.

    Args:
        execute: The tool's body. Its first parameter receives the `Call` (numbered as the last counted one).

    Returns:
        The tool, without the `Call` in its signature.
    """
    return _booked(execute, cost=0)


def budget_of(record: AuditRecord) -> Budget:
    """The budget of an audit that has been provisioned.

    Args:
        record: The audit's record.

    Returns:
        Its budget.

    Raises:
        RuntimeError: If the tool runs in a task without the `provision` set-up step.
    """
    if record.budget is None:
        raise RuntimeError("The tools of an audit need Task(setup=provision(...)), which fills the audit's record.")
    return record.budget


def allowance(record: AuditRecord) -> tuple[Budget, Spent]:
    """The budget of the phase that is played, which is the whole audit's where there are no phases.

    Args:
        record: The audit's record.

    Returns:
        What may be used in it, and what is used.

    Raises:
        RuntimeError: If the tool runs in a task without the `provision` set-up step.
    """
    before = spent_before(record).model_dump()
    budget = {name: most - before[name] for name, most in budget_of(record)}
    return Budget(**budget), Spent(**{name: used - before[name] for name, used in record.spent})


def spent_up(record: AuditRecord) -> str | None:
    """What has run out, if anything has.

    Args:
        record: The audit's record.

    Returns:
        For example "60 tool calls", or None while the audit may go on.
    """
    budget, spent = allowance(record)
    if spent.tool_calls >= budget.tool_calls:
        return f"{budget.tool_calls:,} tool calls"
    if spent.target_tokens >= budget.target_tokens:
        return f"{budget.target_tokens:,} target tokens"
    if spent.auditor_tokens >= budget.auditor_tokens:
        return f"{budget.auditor_tokens:,} auditor tokens"
    return None


def what_is_left(record: AuditRecord) -> str:
    """The line that ends every tool's answer.

    Args:
        record: The audit's record.

    Returns:
        For example `[left: 37 of 60 calls, 5,100 of 8,000 target tokens]`; auditor tokens only where a model audits.
    """
    budget, spent = allowance(record)
    accounts = [
        ("calls", budget.tool_calls, spent.tool_calls),
        ("target tokens", budget.target_tokens, spent.target_tokens),
    ]
    if auditor_is_a_model():
        accounts.append(("auditor tokens", budget.auditor_tokens, spent.auditor_tokens))
    return "[left: " + ", ".join(f"{max(0, most - used):,} of {most:,} {name}" for name, most, used in accounts) + "]"


def _booked(execute: Callable[Concatenate[Call, P], Awaitable[str]], *, cost: Literal[0, 1]) -> Tool:
    @wraps(execute)
    async def booked(*args: P.args, **kwargs: P.kwargs) -> str:
        record = store_as(AuditRecord)
        call = _open_call(record, cost)
        try:
            answer = await execute(call, *args, **kwargs)
        except (CapabilityError, ParameterError, ToolError) as error:
            raise ToolError(f"{error}\n{what_is_left(record)}") from error
        except OSError as error:
            # Inspect would show the auditor an OSError with its file name, and a file's name can be the truth.
            raise RuntimeError(f"A tool failed: {error}") from error
        return f"{answer}\n{what_is_left(record)}"

    signature = inspect.signature(execute)
    _, *shown = signature.parameters.values()
    cast(Any, booked).__signature__ = signature.replace(parameters=shown)
    return booked


def _open_call(record: AuditRecord, cost: Literal[0, 1]) -> Call:
    if record.report is not None:
        raise ToolError("The report is in: the audit is over.")
    record.spent.auditor_tokens = int(sample_limits().token.usage)
    if cost and (exhausted := spent_up(record)):
        raise ToolError(
            f"The budget of {exhausted} is spent: only {verdict_due(record)} is left (and track, which is free).\n"
            f"{what_is_left(record)}"
        )
    record.spent.tool_calls += cost
    return Call(record=record, number=record.spent.tool_calls)
