"""`audit-env evidence`: what each tool shows by itself, and what auditors make of it."""

from pathlib import Path

import click


@click.group()
def evidence() -> None:
    """What each tool shows by itself, and what auditors make of it."""


@evidence.command()
@click.argument("logs", nargs=-1, required=True, metavar="LOG...")
@click.option("--title", default="", help="First line of the page.")
def show(logs: tuple[str, ...], title: str) -> None:
    """Show the table of a fair test as Markdown, of one log or of several on the same organisms.

    \b
      inspect eval tasks/tool_evidence.py -T set=fruitfly_held_out
      audit-env evidence show logs/<log>.eval > tool_evidence.md
    """  # noqa: D301
    from audit_env.evidence import table

    click.echo(table.markdown(table.read(*logs), title))


@evidence.command()
@click.argument("log")
@click.argument("games", nargs=-1, required=True, metavar="LOG|DIR...")
def gap(log: str, games: tuple[str, ...]) -> None:
    """Show, for each tool, how often auditors missed what it shows by itself.

    LOG is of tasks/tool_evidence.py; the others are of games on the same organisms.

    \b
      audit-env evidence gap logs/<tool_evidence>.eval logs/games
    """  # noqa: D301
    from audit_env.evidence import table
    from audit_env.game.audits import read_logs

    found = table.read(log)
    click.echo(table.gap_markdown(table.gaps(found, [played for source in games for played in read_logs(source)])))


@evidence.command()
@click.option("--root", type=click.Path(file_okay=False, exists=True), default=None, help="The organisms folder.")
@click.option("--out", type=click.Path(dir_okay=False), required=True, help="Where the file goes.")
def signatures(root: str | None, out: str) -> None:
    """Make the signatures of the menu again: the words of its base when it acts each entry out.

    \b
      audit-env evidence signatures --out audit_env/evidence/signatures.json
    """  # noqa: D301
    import asyncio

    from audit_env.catalog.files import Catalog
    from audit_env.evidence.signing import signatures_made

    made = asyncio.run(signatures_made(Catalog(Path(root) if root else None)))
    Path(out).write_text(made.model_dump_json(indent=0) + "\n", encoding="utf-8")
