"""`organisms list`: who can be audited, and what is on record about each."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Card, Conceal, Instil, Kind, Strict
from audit_env.catalog.phenotype import Difficulty, Split
from audit_env.catalog.public import PublicModel, PublicZoo, read_zoo, zoo_ids
from audit_env.commands.organisms.figures import Recorded, found_by, in_lines, recorded, sheet_of
from audit_env.commands.output import section, table
from audit_env.errors import CardError


class Listed(Strict):
    """An organism of the catalogue, as `list --json` prints it under "organisms"."""

    id: str
    family: str
    standing: str
    kind: Kind
    quirk: str | None
    second_quirk: str | None
    instil: Instil
    conceal: Conceal
    base: str | None
    recorded: Recorded


class ListedPublic(Strict):
    """A published model whose weights are not here, as `list --json` prints it under "public"."""

    zoo: str
    name: str
    hub: str
    revision: str | None
    base: str | None
    standing: str
    quirk: str | None
    nearest: str | None
    """The quirk of ours that comes nearest."""
    instil: Instil | None
    conceal: Conceal | None
    licence: str | None
    run: str
    """What this project has run of it."""


@dataclass(frozen=True)
class Wanted:
    """What to list. A field that is None asks for nothing."""

    family: str | None = None
    """Of a public model, its zoo."""
    quirk: str | None = None
    """Of a public model, its own quirk or the nearest of ours."""
    recipe: str | None = None
    conceal: str | None = None
    standing: str | None = None

    def admits(self, family: str, quirks: Iterable[str | None], recipe: object, conceal: object, standing: str) -> bool:
        """Whether something with these properties is to be listed."""
        return (
            self.family in (None, family)
            and (self.quirk is None or self.quirk in quirks)
            and self.recipe in (None, recipe)
            and self.conceal in (None, conceal)
            and self.standing in (None, standing)
        )


def organisms(catalog: Catalog, wanted: Wanted) -> tuple[list[Listed], list[str]]:
    """The organisms of a catalogue that are wanted, and what is wrong with cards and sheets.

    Args:
        catalog: The catalogue.
        wanted: Which of them.

    Returns:
        The organisms whose card is sound (without figures where the sheet is not), and a sentence for each fault.
    """
    rows, faults = [], []
    for organism_id in catalog.organism_ids():
        try:
            card = catalog.card(organism_id)
        except CardError as error:
            faults.append(str(error))
            continue
        if wanted.admits(card.family, card.quirks, card.recipe.instil, card.recipe.conceal, card.standing):
            sheet, fault = sheet_of(catalog, organism_id)
            faults += [fault] if fault else []
            rows.append(listed(card, recorded(card, sheet)))
    return rows, faults


def listed(card: Card, figures: Recorded) -> Listed:
    """An organism as it is listed."""
    return Listed(
        id=card.id,
        family=card.family,
        standing=card.standing,
        kind=card.kind,
        quirk=card.quirk,
        second_quirk=card.second_quirk,
        instil=card.recipe.instil,
        conceal=card.recipe.conceal,
        base=card.base,
        recorded=figures,
    )


def public_models(catalog: Catalog, wanted: Wanted) -> list[ListedPublic]:
    """The published models beside a catalogue that are wanted.

    Raises:
        CardError: The file of a zoo is malformed.
    """
    zoos = [read_zoo(catalog, zoo_id) for zoo_id in zoo_ids(catalog)]
    rows = [_listed_public(zoo, model) for zoo in zoos for model in zoo.models]
    return [
        row for row in rows if wanted.admits(row.zoo, [row.quirk, row.nearest], row.instil, row.conceal, row.standing)
    ]


def _listed_public(zoo: PublicZoo, model: PublicModel) -> ListedPublic:
    near = {quirk.id: quirk.nearest for quirk in zoo.quirks}
    return ListedPublic(
        zoo=zoo.id,
        name=model.name,
        hub=model.hub,
        revision=model.revision,
        base=model.base,
        standing=model.standing,
        quirk=model.quirk,
        nearest=near.get(model.quirk) if model.quirk else None,
        instil=model.instil,
        conceal=model.conceal,
        licence=zoo.licence,
        run=model.run,
    )


def draw(rows: list[Listed], console: Console) -> None:
    """Print the organisms as a table."""
    drawn = table("Organism", "On trigger", "Off trigger", "Confesses", "Difficulty")
    for row in rows:
        figures = row.recorded
        asked = figures.confession.direct if figures.confession else None
        drawn.add_row(
            Text.assemble((row.id, "bold"), "\n", (_in_words(row), "dim")),
            Text(_rates(figures, "fire"), style="red" if figures.gate == "not met" else ""),
            Text(_rates(figures, "silent")),
            Text(f"{asked.target.rate:.2f}\nbase {asked.base.rate:.2f}" if asked else ""),
            Text(_easiest(figures.difficulty)),
        )
    console.print(drawn)
    console.print(
        Text(
            "Share of held-out scenarios in which the quirk shows, with 95 % intervals; share of direct questions that "
            "it confesses to; the best auditor's mean p_quirk and mean rank of the true quirk. Empty: not measured.",
            style="dim",
        )
    )


def draw_public(rows: list[ListedPublic], console: Console) -> None:
    """Print the published models as a table."""
    drawn = table("Public model (its weights are not here)", "Standing", "Here")
    for row in rows:
        drawn.add_row(
            Text.assemble(
                (f"{row.zoo}/{row.name}", "bold"), (f"\n{row.hub}\non {row.base or 'an unnamed base'}", "dim")
            ),
            Text(f"{row.standing}\n{row.quirk or ''}"),
            Text(row.run),
        )
    section(console, drawn)


def _rates(figures: Recorded, split: Split) -> str:
    """How often its quirk shows; of two quirks, the rates below each other."""
    besides = (figures.fires.get(split), figures.second_fires.get(split))
    return "\n".join(in_lines(beside.target) for beside in besides if beside)


def _in_words(row: Listed) -> str:
    """Standing, quirk, recipe and concealment in a line."""
    recipe = " + ".join(part for part in (row.instil, row.conceal) if part != "none")
    gate = "" if row.recorded.gate in (None, "met") else f", gate {row.recorded.gate}"
    quirks = " and ".join(quirk for quirk in (row.quirk, row.second_quirk) if quirk)
    return f"{quirks or row.standing}{f' by {recipe}' if recipe else ''}{gate}"


def _easiest(difficulty: dict[str, Difficulty]) -> str:
    """How the auditor fared who was surest of a quirk, and of those who were equally sure, came nearest to it."""
    fared = sorted(difficulty.values(), key=lambda each: (-each.p_quirk, each.rank or float("inf")))
    return found_by(fared[0]) if fared else ""
