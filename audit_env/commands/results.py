"""`audit-env results`: the results of finished games."""

from pathlib import Path

import click


@click.command()
@click.argument("sources", metavar="LOG|DIR...", nargs=-1, required=True)
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
def results(sources: tuple[str, ...], by: str, form: str, fpr_budget: float | None, svg: str | None) -> None:
    """Show the results of finished games.

    One row for each affordance and auditor (or, with --by quirk, for each quirk and recipe as well): detections and
    false alarms with intervals and counts, chance, AUROC, Brier score, calls to the first correct hypothesis, and what
    was not scored. Audits under other conditions (game set, brief, answers, judge) have rows of their own. Logs that
    cannot be used are named with the reason.

    \b
      audit-env results logs
      audit-env results logs/baselines --format markdown
      audit-env results logs/baselines/black_box.eval --by quirk --format csv
    """  # noqa: D301
    from rich.console import Console

    from audit_env.analysis.results import games, verdicts
    from audit_env.commands.output import complain
    from audit_env.game import showing, table
    from audit_env.game.summary import FPR_BUDGET

    frames = games(sources)
    summarise = table.by_quirk if by == "quirk" else table.results
    frame = summarise(verdicts(frames), FPR_BUDGET if fpr_budget is None else fpr_budget)
    if svg:
        Path(svg).write_text(showing.drawn(frame, f"audit-env results {' '.join(sources)}"), encoding="utf-8")
    match form:
        case "markdown":
            click.echo(showing.markdown(frame))
        case "csv":
            click.echo(frame.to_csv(index=False), nl=False)
        case "json":
            click.echo(frame.to_json(orient="records", indent=2, double_precision=15))
        case _:
            showing.show(frame, Console())
    complain(f"{one.log} is in no figure: {one.why}" for one in frames.skipped)
