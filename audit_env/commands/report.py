"""`audit-env report`: from logs to tables, plots and a page."""

from pathlib import Path

import click


@click.command()
@click.argument("sources", metavar="LOG|DIR...", nargs=-1, required=True)
@click.option(
    "--format",
    "form",
    type=click.Choice(["terminal", "markdown", "csv", "json", "html"]),
    default="terminal",
    show_default=True,
    help="html is one file with plots that needs no network (extra 'report').",
)
@click.option("--out", type=click.Path(path_type=Path), help="File to write; for csv a folder.")
@click.option("--only", multiple=True, metavar="QUESTION", help="A question by its short name; may be given again.")
@click.option("--plots", type=click.Path(path_type=Path), help="Folder for the plots as SVG and PNG (extra 'report').")
@click.option(
    "--readme",
    type=click.Path(path_type=Path),
    help="Instead: put the table of results into this file, between <!-- results --> and <!-- /results -->.",
)
@click.option("--pool", is_flag=True, help="Pool logs by different versions of the rules. Default: the newest alone.")
def report(
    sources: tuple[str, ...],
    form: str,
    out: Path | None,
    only: tuple[str, ...],
    plots: Path | None,
    readme: Path | None,
    pool: bool,
) -> None:
    """Answer the questions of an audit from logs: of games, tool evidence, naturalness and phenotypes.

    Each question is a table with intervals and counts, a plot, and what it does not show. Questions that the logs have
    no data for say so. Logs that cannot be used are named with the reason, and are in no figure.

    \b
      audit-env report logs
      audit-env report logs --only detection --only roc --format markdown
      audit-env report logs --format html --out report.html
      audit-env report logs --format csv --out tables --plots figures
      audit-env report logs/baselines --readme README.md
    """  # noqa: D301
    from audit_env.analysis import printing
    from audit_env.analysis.questions import QUESTIONS
    from audit_env.analysis.report import report as answered
    from audit_env.commands.output import console
    from audit_env.errors import ParameterError
    from audit_env.game.parameters import each_of

    if readme:
        from audit_env.analysis.results import write_readme

        for path in write_readme(readme, sources):
            click.echo(str(path))
        return
    chosen = each_of(only, tuple(QUESTIONS), "only") if only else ()
    if form in ("csv", "html") and out is None:
        raise ParameterError(f"--format {form} needs a place: add  --out {'FOLDER' if form == 'csv' else 'FILE.html'}.")
    made = answered(sources, only=chosen, versions="pool" if pool else "newest")
    if plots:
        from audit_env.analysis.plots import save

        save(made.answers, plots)
    match form:
        case "terminal":
            printing.show(made, console())
        case "csv":
            assert out is not None
            for path in printing.write_csv(made, out):
                click.echo(str(path))
        case "html":
            from audit_env.analysis.page import html

            _deliver(html(made), out)
        case "json":
            _deliver(printing.as_json(made) + "\n", out)
        case _:
            _deliver(printing.markdown(made), out)


def _deliver(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text, nl=False)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    click.echo(str(out))
