"""`organisms show`: all that is known of one organism."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from audit_env.catalog import integrity
from audit_env.catalog.files import BREED, MEASURE, Catalog
from audit_env.catalog.models import Card, Quirk, Strict
from audit_env.catalog.phenotype import Beside, Phenotype
from audit_env.commands.organisms.figures import CONFESSIONS, SPLITS, Recorded, in_a_line, in_lines, recorded, sheet_of
from audit_env.commands.output import section, table

_OF_THEIR_OWN = {"id", "recipe", "strength", "second_strength", "weights"}
"""Fields of a card that are shown apart from the others."""

HASH_SHOWN = 16
"""Digits of a hash that a table shows; `--json` has them all."""


class File(Strict):
    """A file beside a card."""

    name: str
    bytes: int
    sha256: str
    as_on_card: bool | None
    """Whether the hash is the one on the card. None where the card says nothing of this file."""


class Shown(Strict):
    """What `show --json` prints."""

    card: Card
    quirk: dict[str, Any] | None
    """The quirk's file, with the number of scenarios in place of the scenarios."""
    second_quirk: dict[str, Any] | None
    recorded: Recorded
    phenotype: Phenotype | None
    files: tuple[File, ...]


def organism(catalog: Catalog, organism_id: str) -> tuple[Shown, str | None]:
    """Gather all that is known of an organism.

    Args:
        catalog: Where it is.
        organism_id: The organism.

    Returns:
        What is known, and what is wrong with its phenotype, if anything.

    Raises:
        CardError: There is no such organism, or its card or quirk is malformed.
    """
    card = catalog.card(organism_id)
    sheet, fault = sheet_of(catalog, organism_id)
    shown = Shown(
        card=card,
        quirk=_without_scenarios(catalog.quirk(card.quirk)) if card.quirk else None,
        second_quirk=_without_scenarios(catalog.quirk(card.second_quirk)) if card.second_quirk else None,
        recorded=recorded(card, sheet),
        phenotype=sheet,
        files=_files(catalog, card),
    )
    return shown, fault


def draw(shown: Shown, console: Console) -> None:
    """Print an organism."""
    card = shown.card
    console.print(Text(card.id, style="bold"))
    about = card.model_dump(mode="json", exclude=_OF_THEIR_OWN, exclude_none=True)
    console.print(_grid(about))
    for heading, quirk in (("Quirk", shown.quirk), ("Second quirk", shown.second_quirk)):
        if quirk:
            scenarios = {f"{split} scenarios": str(count) for split, count in quirk["scenarios"].items()}
            told = {"definition": quirk["definition"], "trigger": quirk["trigger"]} | scenarios
            section(console, Text(f"{heading}: {quirk['menu']['name']}", style="bold"), _grid(told))
    section(console, Text("Recipe", style="bold"), _grid(card.recipe.model_dump(mode="json")))
    _draw_figures(shown, console)
    files = table("File", "Bytes", "SHA-256", "As on the card")
    for file in shown.files:
        said = {None: "", True: "yes", False: "NO"}[file.as_on_card]
        files.add_row(file.name, f"{file.bytes:,}", f"{file.sha256[:HASH_SHOWN]}...", said)
    section(console, files)


def _draw_figures(shown: Shown, console: Console) -> None:
    besides = _named_besides(shown)
    if besides:
        drawn = table("Phenotype", "Organism", "Base", "Sham", "n")
        for name, beside in besides.items():
            rates = (beside.target, beside.base, beside.sham)
            drawn.add_row(name, *(in_lines(rate) for rate in rates), str(beside.target.n))
        section(console, drawn)
    elif shown.card.quirk:
        console.print(Text(f"\nNot measured; run  {MEASURE.format(shown.card.id)}", style="yellow"), soft_wrap=True)
    if shown.card.second_quirk and not shown.recorded.second_fires:
        unmeasured = f"\nSecond quirk not measured; run  {BREED.format(shown.card.id)}"
        console.print(Text(unmeasured, style="yellow"), soft_wrap=True)
    sheet = shown.phenotype
    if sheet and sheet.persistence:
        drawn = table("After the treatment", "Amount", "On trigger", "Off trigger")
        for treated in sheet.persistence:
            after = (in_a_line(treated.on_trigger), in_a_line(treated.off_trigger))
            drawn.add_row(treated.treatment.replace("_", " "), f"{treated.amount:g}", *after)
        section(console, drawn)
    if sheet and sheet.difficulty:
        drawn = table("Audited by", "Audits", "Mean p_quirk", "Mean rank")
        for auditor, fared in sheet.difficulty.items():
            rank = "" if fared.rank is None else f"{fared.rank:.1f}"
            drawn.add_row(auditor, str(fared.audits), f"{fared.p_quirk:.2f}", rank)
        section(console, drawn)


def _named_besides(shown: Shown) -> dict[str, Beside]:
    """Every rate that stands beside its controls, by what tables call it."""
    figures = shown.recorded
    named = {SPLITS[split]: beside for split, beside in figures.fires.items()}
    named |= {f"second quirk {SPLITS[split]}": beside for split, beside in figures.second_fires.items()}
    if figures.confession:
        told = {name: getattr(figures.confession, field) for field, name in CONFESSIONS.items()}
        named |= {name: beside for name, beside in told.items() if beside}
    topics = shown.phenotype.generalisation if shown.phenotype else {}
    return named | {f"fires on the topic {topic}": beside for topic, beside in topics.items()}


def _without_scenarios(quirk: Quirk) -> dict[str, Any]:
    scenarios = {split: len(getattr(quirk.scenarios, split)) for split in type(quirk.scenarios).model_fields}
    return quirk.model_dump(mode="json", exclude={"scenarios"}) | {"scenarios": scenarios}


def _files(catalog: Catalog, card: Card) -> tuple[File, ...]:
    named = {card.weights.file: card.weights.sha256} if card.weights else {}
    found = []
    for path in sorted(path for path in catalog.folder(card.id).rglob("*") if path.is_file()):
        name, got = path.relative_to(catalog.folder(card.id)).as_posix(), integrity.sha256(path)
        as_on_card = got == named[name] if name in named else None
        found.append(File(name=name, bytes=path.stat().st_size, sha256=got, as_on_card=as_on_card))
    return tuple(found)


def _grid(fields: Mapping[str, Any]) -> Table:
    """Names and values, empty ones left out."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in fields.items():
        if value not in (None, "", [], ()):
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            grid.add_row(name.replace("_", " "), Text(text.strip()))
    return grid
