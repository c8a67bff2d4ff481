"""The commands of `audit-env naturalness`."""

from pathlib import Path

import click
import yaml

from audit_env.commands.output import console, print_json, section


@click.group()
def naturalness() -> None:
    """Show how natural organisms are, and draw the prompts that say so.

    Measure with  inspect eval tasks/naturalness.py -T organism=ID
    """


@naturalness.command()
@click.argument("log", metavar="LOG")
@click.option(
    "--format",
    "form",
    type=click.Choice(["rich", "markdown", "html", "json"]),
    default="rich",
    show_default=True,
    help="rich for a terminal, markdown and html for the whole report with its transcripts, json with every figure.",
)
def show(log: str, form: str) -> None:
    """Show the report of every organism in a log."""
    from audit_env.commands.naturalness import terminal
    from audit_env.naturalness.logs import sheets
    from audit_env.naturalness.report import markdown

    found = sheets(log)
    if form == "html":
        from audit_env.naturalness.html import html

        click.echo(html(found))
        return
    if form == "json":
        print_json([sheet.model_dump(mode="json") for sheet in found])
        return
    for sheet in found:
        if form == "markdown":
            click.echo(markdown(sheet))
        else:
            section(console())
            terminal.show(sheet, console())


@naturalness.command()
@click.argument("logs", metavar="LOG...", nargs=-1, required=True)
def compare(logs: tuple[str, ...]) -> None:
    """Show the verdicts of several logs beside each other, as Markdown.

    Refuses to join logs whose prompts, templates, engines, sampling or code differ.
    """
    from audit_env.naturalness.logs import joined, sheets
    from audit_env.naturalness.report import beside

    click.echo(beside(joined([sheet for log in logs for sheet in sheets(log)])))


@naturalness.command()
@click.argument("logs", metavar="LOG...", nargs=-1, required=True)
@click.option("--row", "rows", multiple=True, help="A row to show; may be given again. Default: all.")
def table(logs: tuple[str, ...], rows: tuple[str, ...]) -> None:
    """Show what each recipe does to each row, with the organism as the unit, as Markdown.

    Refuses to join what `compare` refuses.
    """
    from audit_env.naturalness.by_recipe import cells, markdown
    from audit_env.naturalness.logs import joined, sheets

    click.echo(markdown(cells(joined([sheet for log in logs for sheet in sheets(log)])), rows))


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


@naturalness.command()
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed, another bank.")
@click.option("--out", type=click.Path(dir_okay=False), required=True, help="The file to write.")
def prompts(seed: int, out: str) -> None:
    """Draw a bank of prompts from the held-out phrasings of the fruitfly's world.

    Seed 0 is the bank that comes with audit_env. A bank with a seed of your own is one that nobody has trained against:
    measure with it, too (-T prompts=FILE), and see whether the verdicts agree.
    """
    from audit_env.commands.naturalness.drawing import drawn

    data = drawn(seed).model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    Path(out).write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")
