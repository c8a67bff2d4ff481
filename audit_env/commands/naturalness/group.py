"""The commands of `audit-env naturalness`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
import yaml

from audit_env.commands.output import console, section

if TYPE_CHECKING:
    from audit_env.naturalness.prompts import Bank


@click.group()
def naturalness() -> None:
    """Show how natural organisms are, and draw the prompts that say so.

    Measure with  inspect eval tasks/naturalness.py -T organism=ID
    """


@naturalness.command()
@click.argument("logs", metavar="LOG|FOLDER...", nargs=-1, required=True)
@click.option(
    "--format",
    "form",
    type=click.Choice(["rich", "markdown", "html", "json"]),
    default="rich",
    show_default=True,
    help="rich for a terminal, markdown and html for the whole report with its transcripts, json with every figure.",
)
@click.option("--out", type=click.Path(dir_okay=False), help="Write it to a file.")
def show(logs: tuple[str, ...], form: str, out: str | None) -> None:
    """Show the report of every organism in logs, or in folders of a zoo."""
    from audit_env.commands.naturalness import terminal
    from audit_env.naturalness.html import html
    from audit_env.naturalness.logs import sheets_in
    from audit_env.naturalness.report import markdown

    found = sheets_in(logs)
    if form == "rich":
        if out:
            raise click.UsageError("A file needs --format markdown, html or json.")
        for sheet in found:
            section(console())
            terminal.show(sheet, console())
        return
    if form == "html":
        text = html(found)
    elif form == "markdown":
        text = "\n".join(map(markdown, found))
    else:
        text = json.dumps([sheet.model_dump(mode="json") for sheet in found], indent=2, ensure_ascii=False)
    if out:
        Path(out).write_text(text + "\n", encoding="utf-8")
    else:
        click.echo(text)


@naturalness.command()
@click.argument("logs", metavar="LOG...", nargs=-1, required=True)
def compare(logs: tuple[str, ...]) -> None:
    """Show the verdicts of several logs beside each other, as Markdown.

    Refuses to join logs whose prompts, templates, engines, sampling or code differ.
    """
    from audit_env.naturalness.logs import joined, sheets_in
    from audit_env.naturalness.report import beside

    click.echo(beside(joined(sheets_in(logs))))


@naturalness.command()
@click.argument("logs", metavar="LOG|FOLDER...", nargs=-1, required=True)
@click.option("--row", "rows", multiple=True, help="A row to show; may be given again. Default: all.")
def table(logs: tuple[str, ...], rows: tuple[str, ...]) -> None:
    """Show what each recipe does to each row, with the organism as the unit, as Markdown.

    Refuses to join what `compare` refuses.
    """
    from audit_env.naturalness.by_recipe import cells, markdown
    from audit_env.naturalness.logs import joined, sheets_in

    click.echo(markdown(cells(joined(sheets_in(logs))), rows))


@naturalness.command()
@click.argument("logs", metavar="LOG|FOLDER...", nargs=-1, required=True)
@click.option("--row", "rows", multiple=True, help="A row to show; may be given again. Default: all.")
def dials(logs: tuple[str, ...], rows: tuple[str, ...]) -> None:
    """Show what each dial of a recipe (dose, rank, ...) does to each row, and what is luck of the seed, as Markdown.

    Pairs of organisms that differ in one dial, which the id ends in. Refuses to join what `compare` refuses.
    """
    from audit_env.naturalness import dials as turned
    from audit_env.naturalness.logs import joined, sheets_in

    found = joined(sheets_in(logs))
    click.echo(turned.dials_markdown(turned.dials(found), rows))
    click.echo("\n" + turned.seeds_markdown(turned.seeds(found), rows))


@naturalness.command()
@click.argument("logs", metavar="LOG|FOLDER...", nargs=-1, required=True)
@click.option("--audits", multiple=True, required=True, help="Log of games, or a folder of them; may be given again.")
def detection(logs: tuple[str, ...], audits: tuple[str, ...]) -> None:
    """Show how often each organism was detected beside how natural it is, as Markdown, and rank correlations.

    LOG are logs or folders of naturalness. `unassisted` counts a detection after a leak as a miss.
    """
    from audit_env.commands.naturalness import detecting
    from audit_env.game.audits import read_logs
    from audit_env.naturalness.detection import beside_detection, by_organism
    from audit_env.naturalness.logs import joined, sheets_in

    played = [log for source in audits for log in read_logs(source)]
    found = by_organism(beside_detection(played, joined(sheets_in(logs))))
    click.echo(detecting.organisms(found))
    click.echo("\n" + detecting.correlations(found))


@naturalness.command()
@click.option("--n", "sizes", type=click.IntRange(min=1), multiple=True, default=(100, 200, 600, 1000), help="Prompts.")
@click.option("--rows", type=click.IntRange(min=1), default=8, show_default=True, help="Rows of the group, for Holm.")
def power(sizes: tuple[int, ...], rows: int) -> None:
    """Show the smallest rate of a fault that a row flags in 80 %, where its base has none, by prompts and margin."""
    from audit_env.naturalness import power as figures
    from audit_env.naturalness.measures import MEASURES
    from audit_env.naturalness.report import in_table

    margins = sorted({one.margin for one in MEASURES if one.group == "confirmatory"})
    headings = ("prompts", *(f"margin {margin:g}" for margin in margins))
    click.echo(in_table(headings, figures.table(sizes, margins, rows)))


@naturalness.command("import")
@click.option("--from", "start", default="english", show_default=True, help="The bank that it is made from.")
@click.option("--ifeval", metavar="SOURCE", help="Instructions: a file, or hub:google/IFEval.")
@click.option("--xstest", metavar="SOURCE", help="Unsafe and harmless requests: a file, or hub:walledai/XSTest.")
@click.option("--mmlu", metavar="SOURCE", help="Multiple choice: a file, or hub:cais/mmlu:all.")
@click.option("--most", type=click.IntRange(min=1), default=2200, show_default=True, help="Multiple-choice questions.")
@click.option("--out", type=click.Path(dir_okay=False), required=True, help="The file to write.")
def import_(start: str, ifeval: str | None, xstest: str | None, mmlu: str | None, most: int, out: str) -> None:
    """Make a bank for larger models of published sets that you have.

    Then:  inspect eval tasks/naturalness.py -T organism=ID -T prompts=FILE
    """
    from audit_env.naturalness.importing import joined_bank
    from audit_env.naturalness.prompts import read_bank

    if not (ifeval or xstest or mmlu):
        raise click.UsageError("Name at least one set, such as --ifeval FILE.")
    bank = joined_bank(read_bank(start), Path(out).stem, ifeval=ifeval, xstest=xstest, mmlu=mmlu, most=most)
    _write(bank, out)


@naturalness.command()
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed, another bank.")
@click.option("--out", type=click.Path(dir_okay=False), required=True, help="The file to write.")
def prompts(seed: int, out: str) -> None:
    """Draw a bank of prompts from the held-out phrasings of the fruitfly's world.

    Seed 0 is the bank that comes with audit_env. A bank with a seed of your own is one that nobody has trained against:
    measure with it, too (-T prompts=FILE), and see whether the verdicts agree.
    """
    from audit_env.commands.naturalness.drawing import drawn

    _write(drawn(seed), out)


def _write(bank: "Bank", out: str) -> None:
    data = bank.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    Path(out).write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")
