"""What an auditor remembers when its conversation no longer fits its context.

Inspect's compaction decides when that is so, and asks the strategy here what to keep. It keeps the prompts, the last
turns whole, and a summary that no model wrote: hypotheses, notes, tests and the answers that they cite, taken from the
audit's record. A summary by the auditor itself would harden guesses into facts and lose the ids that are to be cited.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

from inspect_ai.model import ChatMessage, ChatMessageUser, CompactionStrategy, Model, ModelAPI
from inspect_ai.model._trim import partition_messages
from inspect_ai.tool import ToolInfo
from inspect_ai.util import store_as

from audit_env.auditors.llm.notebook import Notebook
from audit_env.auditors.llm.prompts import Prompts
from audit_env.game.brief import brief_phase
from audit_env.game.phases import phases_of
from audit_env.game.record import AuditRecord, Exchange
from audit_env.tools.accounting import what_is_left
from audit_env.tools.layout import LONGEST_PROMPT, one_line
from audit_env.tools.reporting import tracker_table

THRESHOLD = 0.8
"""Share of the context window from which a conversation is shortened."""
MOST_TURNS = 6
"""Turns that are kept whole. Each time that this is still too long, half as many are."""
MOST_ANSWERS = 24
"""Cited answers, and as many of the latest, that the summary repeats."""
LONGEST_ANSWER = 240
"""Characters of each."""


class FromRecord(CompactionStrategy):
    """Shortens a conversation by what the record says.

    Args:
        prompts: The prompts; `memory` is the summary's template.
        threshold: Tokens, or share of the context window, from which a conversation is shortened.
    """

    def __init__(self, prompts: Prompts, threshold: int | float = THRESHOLD) -> None:
        super().__init__(type="summary", threshold=threshold, memory=False)
        self._prompts = prompts

    async def compact(
        self, model: Model, messages: list[ChatMessage], tools: list[ToolInfo]
    ) -> tuple[list[ChatMessage], ChatMessageUser | None]:
        """Shorten a conversation.

        Args:
            model: The model that it is for.
            messages: The conversation.
            tools: The model's tools.

        Returns:
            What the model is shown, and the summary, which joins the conversation.
        """
        parts = partition_messages(messages)
        turns = _turns(parts.conversation)
        kept = turns[len(turns) - min(MOST_TURNS, len(turns) // 2) :]
        summary = ChatMessageUser(content=remembered(self._prompts), metadata={"summary": True})
        return [*parts.system, *parts.input, summary, *(message for turn in kept for message in turn)], summary


def remembered(prompts: Prompts) -> str:
    """The summary of an audit so far.

    Args:
        prompts: The prompts; `memory` is the template.

    Returns:
        Markdown.
    """
    record, book = store_as(AuditRecord), store_as(Notebook)
    latest = {event.key: event.hypothesis for event in record.tracker}
    cited = {name for hypothesis in latest.values() for name in hypothesis.evidence}
    answers = [exchange for exchange in record.exchanges if exchange.id in cited][:MOST_ANSWERS]
    recent = [exchange for exchange in record.exchanges[-MOST_ANSWERS:] if exchange.id not in cited]
    return prompts.text(
        "memory",
        hypotheses=tracker_table(record),
        notes=book.notes,
        tests=[(test.hypothesis, test.exchanges) for test in book.tests],
        answers=[_shown(exchange) for exchange in answers],
        recent=[_shown(exchange) for exchange in recent],
        readings=[(reading.id, one_line(reading.summary)) for reading in record.readings if reading.id in cited],
        exchanges=len(record.exchanges),
        left=what_is_left(record),
        phase=brief_phase(record) if phases_of(record) else "",
    )


def countable(model: Model) -> Model:
    """Lets Inspect count a model's tokens without a network.

    Args:
        model: A model. Where its provider does not count by itself, Inspect would download a tokenizer, which fails
            on a machine without access; here such a provider counts four characters a token. What a provider reports
            as used is exact and comes first: only what was added since is counted.

    Returns:
        The model.
    """
    if type(model.api).count_text_tokens is ModelAPI.count_text_tokens:
        cast(Any, model.api).count_text_tokens = _four_characters_a_token
    return model


async def _four_characters_a_token(text: str) -> int:
    return math.ceil(len(text) / 4)


def _turns(conversation: Sequence[ChatMessage]) -> list[list[ChatMessage]]:
    """What the auditor said, each with what came back, without earlier summaries and what stood before them."""
    turns: list[list[ChatMessage]] = []
    for message in conversation:
        if "summary" in (message.metadata or {}):
            continue
        if message.role == "assistant":
            turns.append([])
        if turns:
            turns[-1].append(message)
    if turns and turns[-1][-1].role == "assistant" and not turns[-1][-1].tool_calls:
        turns.pop()
    return turns


def _shown(exchange: Exchange) -> tuple[str, str, str, str]:
    return (
        one_line(exchange.turns[-1].content)[:LONGEST_PROMPT],
        exchange.id,
        exchange.side,
        one_line(exchange.answer)[:LONGEST_ANSWER],
    )
