"""`organisms compare`: organisms side by side, by what they do, what they say, and what was done to their weights."""

import asyncio
from collections.abc import Sequence
from itertools import combinations
from string import ascii_uppercase

from rich.console import Console
from rich.text import Text

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Rate, Strict
from audit_env.catalog.phenotype import Beside, made_of
from audit_env.commands.organisms.deltas import LayerDistance, distances
from audit_env.commands.organisms.figures import CONFESSIONS, SPLITS, Recorded, found_by, in_lines, recorded
from audit_env.commands.organisms.listing import Listed, listed
from audit_env.commands.output import section, table
from audit_env.errors import ParameterError
from audit_env.runtime import cast
from audit_env.runtime.subject import Subject
from audit_env.tools.banks import bank

TEMPERATURE, MAX_TOKENS = 0.7, 64
MOST = len(ascii_uppercase)


class Apart(Strict):
    """How far apart the weights of two organisms are."""

    one: str
    other: str
    layers: tuple[LayerDistance, ...]
    """All layers together first, then each. Empty where there is nothing to compare."""
    not_compared: str | None
    """Why there is nothing to compare."""


class Asked(Strict):
    """An ordinary prompt, and what each organism answered that is played on this machine."""

    prompt: str
    answers: dict[str, str]


class Comparison(Strict):
    """What `compare --json` prints."""

    organisms: tuple[Listed, ...]
    weights: tuple[Apart, ...]
    answers: tuple[Asked, ...]
    seed: int


def compare(catalog: Catalog, organism_ids: Sequence[str], *, prompts: int, seed: int) -> Comparison:
    """Compare organisms.

    Args:
        catalog: Where they are.
        organism_ids: Two or more.
        prompts: Ordinary prompts to put to each.
        seed: Seed of the answers, the same for all, so that they differ by the weights alone.

    Returns:
        The comparison.

    Raises:
        ParameterError: Fewer than two are named, or one is named twice, or too many.
        CardError: An organism does not exist, or its card or sheet is bad.
        WeightsError: Weights are missing, altered or unfit.
        MissingExtraError: torch is not installed.
    """
    if not 2 <= len(set(organism_ids)) == len(organism_ids) <= MOST:
        raise ParameterError(f"Name two to {MOST} different organisms to compare.")
    for organism_id in organism_ids:
        catalog.check(organism_id)
    cards = [catalog.card(organism_id) for organism_id in organism_ids]
    subjects = {card.id: _subject(catalog, card.id) for card in cards if card.plays is None}
    return Comparison(
        organisms=tuple(listed(card, recorded(card, catalog.phenotype(card.id))) for card in cards),
        weights=tuple(_apart(catalog, subjects, one, other) for one, other in combinations(organism_ids, 2)),
        answers=asyncio.run(_ask(subjects, _spread(bank("ordinary").texts(), prompts), seed)),
        seed=seed,
    )


def draw(compared: Comparison, console: Console) -> None:
    """Print a comparison."""
    letters = {row.id: letter for row, letter in zip(compared.organisms, ascii_uppercase, strict=False)}
    for row in compared.organisms:
        console.print(Text.assemble((letters[row.id], "bold"), f"  {row.id}"), soft_wrap=True)
    _draw_figures(compared, letters, console)
    _draw_weights(compared, letters, console)
    if compared.answers:
        said = table("Asked", "", "Answer")
        said.columns[2].justify = "left"
        for asked in compared.answers:
            for place, (organism_id, answer) in enumerate(asked.answers.items()):
                last = place == len(asked.answers) - 1
                said.add_row(
                    asked.prompt if place == 0 else "", letters[organism_id], Text(answer.strip()), end_section=last
                )
        section(console, said, Text(f"Temperature {TEMPERATURE}, seed {compared.seed} for all.", style="dim"))


def _draw_figures(compared: Comparison, letters: dict[str, str], console: Console) -> None:
    drawn = table("Phenotype", *letters.values())
    fires = [(name, [row.recorded.fires.get(split) for row in compared.organisms]) for split, name in SPLITS.items()]
    fires += [
        (f"second quirk {name}", [row.recorded.second_fires.get(split) for row in compared.organisms])
        for split, name in SPLITS.items()
    ]
    for name, besides in fires:
        for side in ("target", "base", "sham"):
            rates: list[Rate | None] = [getattr(beside, side, None) for beside in besides]
            if any(rates):
                drawn.add_row(name if side == "target" else f"  its {side}", *map(in_lines, rates))
    for field, name in CONFESSIONS.items():
        told = [_confessed(row.recorded, field) for row in compared.organisms]
        if any(told):
            drawn.add_row(name, *(in_lines(beside.target if beside else None) for beside in told))
    auditors = sorted({auditor for row in compared.organisms for auditor in row.recorded.difficulty})
    for auditor in auditors:
        fared = [row.recorded.difficulty.get(auditor) for row in compared.organisms]
        drawn.add_row(f"audited by {auditor}", *(found_by(each) if each else "" for each in fared))
    if drawn.row_count:
        section(console, drawn)
    else:
        console.print(Text("None of them was measured.", style="dim"))


def _draw_weights(compared: Comparison, letters: dict[str, str], console: Console) -> None:
    drawn = table("Weights", "Layer", "Cosine of the updates", "Norms of the updates")
    for apart in compared.weights:
        pair = f"{letters[apart.one]} and {letters[apart.other]}"
        if apart.not_compared:
            drawn.add_row(pair, "", apart.not_compared, "", end_section=True)
        for layer in apart.layers:
            cosine = "" if layer.cosine is None else f"{layer.cosine:+.3f}"
            norms = f"{layer.norm:.2f}, {layer.other_norm:.2f}"
            which = "all" if layer.layer is None else str(layer.layer)
            drawn.add_row(pair if layer.layer is None else "", which, cosine, norms)
    section(console, drawn)


def _confessed(figures: Recorded, field: str) -> Beside | None:
    return getattr(figures.confession, field) if figures.confession else None


def _subject(catalog: Catalog, organism_id: str) -> Subject:
    card = catalog.card(organism_id)
    alias = f"compared-{made_of(card)[:12]}"
    folder = catalog.folder(organism_id)
    cast.bind(alias, card, folder, base_folder=catalog.folder(card.base or organism_id), sham_folder=None)
    return cast.subject(alias)


def _apart(catalog: Catalog, subjects: dict[str, Subject], one: str, other: str) -> Apart:
    cards = catalog.card(one), catalog.card(other)
    layers: tuple[LayerDistance, ...] = ()
    why_not = None
    if any(card.base is None or card.weights is None for card in cards):
        why_not = "one has no adapter"
    elif cards[0].base != cards[1].base:
        why_not = "they have different bases"
    else:
        layers = tuple(distances(subjects[one].lora("target"), subjects[other].lora("target")))
    return Apart(one=one, other=other, layers=layers, not_compared=why_not)


async def _ask(subjects: dict[str, Subject], prompts: Sequence[str], seed: int) -> tuple[Asked, ...]:
    talks = [[{"role": "user", "content": prompt}] for prompt in prompts]
    said: dict[str, list[str]] = {}
    if talks:
        for organism_id, subject in subjects.items():
            drawn = await subject.generate(talks, temperature=TEMPERATURE, max_tokens=MAX_TOKENS, seed=seed)
            said[organism_id] = [samples[0].text for samples in drawn]
    return tuple(
        Asked(prompt=prompt, answers={organism_id: texts[place] for organism_id, texts in said.items()})
        for place, prompt in enumerate(prompts)
    )


def _spread(texts: Sequence[str], count: int) -> list[str]:
    """Some of the texts, evenly spread, so that they are of different topics."""
    count = min(count, len(texts))
    return [texts[place * len(texts) // count] for place in range(count)]
