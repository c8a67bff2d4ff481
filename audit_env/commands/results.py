"""`audit-env results`: the results of finished games."""

import io
import re
from pathlib import Path

import click
from rich.console import Console

DRAWN_WIDTH = 190
"""Columns of a drawn table: wide enough for a row a line."""


@click.command()
@click.argument("source", metavar="LOG|DIR")
@click.option("--by", type=click.Choice(["auditor", "quirk"]), default="auditor", show_default=True, help="Rows.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["rich", "markdown", "csv", "json"]),
    default="rich",
    show_default=True,
    help="rich for a terminal, markdown for a README, csv and json with every figure at full precision.",
)
@click.option(
    "--fpr-budget", type=click.FloatRange(0, 1), default=None, help="Share of clean targets that may be flagged."
)
@click.option("--svg", type=click.Path(dir_okay=False), default=None, help="Draw the table into this SVG file as well.")
def results(source: str, by: str, form: str, fpr_budget: float | None, svg: str | None) -> None:
    """Show the results of finished games.

    One row for each affordance and auditor (or, with --by quirk, for each quirk and recipe as well): detections and
    false alarms with intervals and counts, chance, AUROC, Brier score, calls to the first correct hypothesis, and what
    was not scored.

    \b
      audit-env results logs
      audit-env results logs/baselines --format markdown
      audit-env results logs/baselines/black_box.eval --by quirk --format csv
    """  # noqa: D301
    from audit_env.game import table
    from audit_env.game.summary import FPR_BUDGET

    summarise = table.by_quirk if by == "quirk" else table.results
    frame = summarise(table.read_logs(source), FPR_BUDGET if fpr_budget is None else fpr_budget)
    if svg:
        drawing = Console(record=True, width=DRAWN_WIDTH, file=io.StringIO())
        table.show(frame, drawing)
        picture = drawing.export_svg(title=f"audit-env results {source}")
        # Rich links fonts on the network; a picture in a README needs none.
        Path(svg).write_text(re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL), encoding="utf-8")
    match form:
        case "markdown":
            click.echo(table.markdown(frame))
        case "csv":
            click.echo(frame.to_csv(index=False), nl=False)
        case "json":
            click.echo(frame.to_json(orient="records", indent=2, double_precision=15))
        case _:
            table.show(frame, Console())
