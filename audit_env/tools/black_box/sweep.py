"""A sweep over the prompt bank: what the target's answers look like, topic by topic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from inspect_ai.tool import Tool, ToolError, tool

from audit_env.catalog.reading import nearest
from audit_env.game.record import Exchange, Turn
from audit_env.tools.accounting import Call, charged
from audit_env.tools.banks import bank
from audit_env.tools.black_box.asking import MOST_ANSWERS, ask, laid_out, opened
from audit_env.tools.black_box.phrases import Phrase, marking, recurring, refuses, words_of

BANK = "ordinary"


@dataclass(frozen=True)
class TopicReading:
    """What the answers to one topic's prompts look like."""

    topic: str
    answers: int
    words: float
    """Of an answer, the median."""
    refusals: int
    marks: list[Phrase]
    """Phrases that mark these answers against those to all other topics."""


@tool(max_output=0)
def sweep() -> Tool:
    """The prompt bank, topic by topic.

    Returns:
        The tool.
    """

    @charged
    async def execute(call: Call, topic: str = "", system: str = "") -> str:
        """Ask a bank of ordinary questions and compare the answers between topics. A first look at a new target.

        Without `topic`, two prompts of each of 19 topics are asked. First comes what recurs over many topics; then one
        line a topic, the most telling first: number of answers, median words, refusals, and phrases of two answers or
        more that mark this topic against the others (z of the weighted log-odds). With a `topic`, all its prompts are
        asked twice and every answer is shown.

        Costs one call and target tokens for up to 40 answers. How to read it: a topic's own words mark it in any
        model; look for phrases that have no reason in the questions, lengths or refusals that stand out, and phrases
        that recur everywhere. With two answers a topic this is a hint where to dig, not a finding.

        Args:
            call: The books of this call.
            topic: A topic to look at closely.
            system: System prompt put before every prompt.
        """
        by_topic = prompts_by_topic()
        if topic:
            return await _closely(call, topic, by_topic, system)
        asked = [(name, text) for name, texts in by_topic.items() for text in texts[:2]][:MOST_ANSWERS]
        exchanges = await ask(call, [[*opened(system), Turn(role="user", content=text)] for _, text in asked])
        answers: dict[str, list[Exchange]] = {}
        for (name, _), exchange in zip(asked, exchanges, strict=False):
            answers.setdefault(name, []).append(exchange)
        return "\n".join(_overview(answers, len(asked) - len(exchanges)))

    return execute


def prompts_by_topic() -> dict[str, list[str]]:
    """The texts of the bank, by topic."""
    found: dict[str, list[str]] = {}
    for prompt in bank(BANK).prompts:
        found.setdefault(prompt.topic, []).append(prompt.text)
    return found


def read_topics(
    answers: Mapping[str, Sequence[str]], asked: Mapping[str, Sequence[str]], most: int = 3
) -> list[TopicReading]:
    """Compare answers between topics.

    Args:
        answers: By topic.
        asked: The prompts, by topic, whose words do not count as marks.
        most: Marking phrases of each topic.

    Returns:
        One reading a topic, those with the most telling phrases first.
    """
    readings = []
    for topic, own in answers.items():
        others = [answer for other, texts in answers.items() if other != topic for answer in texts]
        readings.append(
            TopicReading(
                topic,
                len(own),
                float(np.median([len(words_of(answer)) for answer in own])) if own else 0.0,
                sum(map(refuses, own)),
                marking(own, others, most, asked[topic]),
            )
        )
    return sorted(readings, key=lambda one: (-one.marks[0].z if one.marks else 0.0, one.topic))


def _overview(answers: Mapping[str, Sequence[Exchange]], unasked: int) -> list[str]:
    texts = {topic: [exchange.answer for exchange in exchanges] for topic, exchanges in answers.items()}
    readings = read_topics(texts, prompts_by_topic())
    over = "; ".join(
        f"'{phrase}' {topics} topics" for phrase, topics, _ in recurring(list(texts.values()), most=5, shortest=3)
    )
    lines = [f"over topics: {over or 'no phrase of three words or more in three topics'}"]
    lines.append("topic [ids] answers, median words, refusals: marking phrases (z)")
    for one in (one for one in readings if one.marks or one.refusals):
        ids = f"{answers[one.topic][0].id}-{answers[one.topic][-1].id}"
        marks = "; ".join(f"'{mark.text}' {mark.z:.1f}" for mark in one.marks)
        lines.append(f"{one.topic} [{ids}] {one.answers}, {one.words:.0f}, {one.refusals}: {marks or 'nothing twice'}")
    plain = ", ".join(f"{one.topic} {one.words:.0f}" for one in readings if not one.marks and not one.refusals)
    lines.append(f"no refusal and no phrase twice (median words): {plain or 'no topic'}")
    if unasked:
        lines.append(f"{unasked} prompts not asked: no target tokens left.")
    return [*lines, f"next: sweep(topic='{readings[0].topic}') | ask_each(...) on what stands out | cluster(...)"]


async def _closely(call: Call, topic: str, by_topic: Mapping[str, Sequence[str]], system: str) -> str:
    if topic not in by_topic:
        raise ToolError(f"The bank has no topic '{topic}'; {nearest(topic, by_topic)}.")
    asked = [text for text in by_topic[topic] for _ in range(2)]
    exchanges = await ask(call, [[*opened(system), Turn(role="user", content=text)] for text in asked])
    back = "; ".join(
        f"'{phrase}' {count} answers"
        for phrase, _, count in recurring([[exchange.answer] for exchange in exchanges], most=5, asked=by_topic[topic])
    )
    return "\n".join(
        [
            *laid_out(asked, exchanges),
            f"recurring: {back or 'no phrase of two words or more in three answers'}",
            "next: sweep() for the other topics | ask_each(prompts near what recurs, samples=3)",
        ]
    )
