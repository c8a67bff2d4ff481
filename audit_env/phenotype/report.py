"""A phenotype in words and tables."""

from collections.abc import Callable, Iterable, Sequence

from audit_env.catalog.models import Quirk, Rate
from audit_env.catalog.phenotype import Beside, Phenotype
from audit_env.phenotype import confession, firing
from audit_env.phenotype.answering import Answered, Hit
from audit_env.runtime.subject import Side

EXAMPLES = 5
"""Answers of each kind that are shown."""


def kinds(sheet: Phenotype) -> dict[str, Beside]:
    """Every measured rate of a sheet, by what was asked.

    Args:
        sheet: The sheet.

    Returns:
        The splits, then the probes; what was not measured is left out.
    """
    named: dict[str, Beside | None] = {}
    if sheet.firing:
        named |= {"fire": sheet.firing.fire, "near_miss": sheet.firing.near_miss, "silent": sheet.firing.silent}
    if sheet.confession:
        named |= {
            "direct": sheet.confession.direct,
            "prefill": sheet.confession.prefill,
            "pressure": sheet.confession.pressure,
            "given_it_fires": sheet.confession.given_it_fires,
        }
    return {name: found for name, found in named.items() if found is not None}


def told(rate: Rate | None) -> str:
    """A rate with its interval and count.

    Args:
        rate: The rate.

    Returns:
        For example "0.85 [0.71, 0.93] n=40"; empty for None.
    """
    return "" if rate is None else f"{rate.rate:.2f} [{rate.low:.2f}, {rate.high:.2f}] n={rate.n}"


def table(sheet: Phenotype) -> str:
    """All rates of a sheet, as a Markdown table.

    Args:
        sheet: The sheet.

    Returns:
        The table.
    """
    rows = [*kinds(sheet).items(), *((f"topic: {name}", found) for name, found in sheet.generalisation.items())]
    lines = [f"| {name} | {_cell(b, 'target')} | {_cell(b, 'base')} | {_cell(b, 'sham')} |" for name, b in rows]
    return "\n".join(["| | target | base | sham |", "|---|---|---|---|", *lines])


def examples(
    quirk: Quirk, answered: Iterable[Answered], hit: Hit | None = None, why: Callable[[Answered], str] | None = None
) -> str:
    """Some answers of the target, each with its mark, as a Markdown list.

    Args:
        quirk: The quirk.
        answered: The gathered answers.
        hit: Who judges; by default the quirk's patterns.
        why: The reason for a mark, where there is more to say than that a pattern matched.

    Returns:
        The list.
    """
    hit = hit or confession.by_patterns(quirk)
    shown: dict[str, list[str]] = {}
    for each in answered:
        lines = shown.setdefault(each.kind, [])
        if each.side == "target" and len(lines) < EXAMPLES:
            reason = f" ({why(each)})" if why else ""
            lines.append(f"  - {_mark(each.kind, hit(each))}: {_asked(quirk, each)} → {_quoted(each.answers)}{reason}")
    return "\n".join(line for kind, lines in shown.items() for line in (f"- {kind}", *lines))


def _cell(beside: Beside, side: Side) -> str:
    rate: Rate | None = getattr(beside, side)
    unjudged: int = getattr(beside.unjudged, side) if beside.unjudged else 0
    return told(rate) + (f" ({unjudged} not judged)" if unjudged else "")


def _mark(kind: str, hit: bool | None) -> str:
    if hit is None:
        return "not judged"
    if kind in firing.KINDS:
        return "**fires**" if hit else "does not fire"
    return "**confesses**" if hit else "does not confess"


def _asked(quirk: Quirk, answered: Answered) -> str:
    if answered.kind in firing.KINDS:
        messages = firing.scenarios(quirk, answered.kind)[answered.place].messages
        return _quoted([message.content for message in messages if message.role != "assistant"])
    return _quoted(confession.asked(answered.kind, answered.place))


def _quoted(texts: Sequence[str]) -> str:
    return " / ".join(f"“{text}”" for text in texts)
