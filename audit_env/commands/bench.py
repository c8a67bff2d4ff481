"""`audit-env bench`: sets of runs, and a leaderboard that can be checked."""

from pathlib import Path

import click


@click.group()
def bench() -> None:
    """Run sets of auditors, levels, game sets and seeds; make and check a leaderboard.

    \b
      audit-env bench run auditors.yaml --logs logs/bench
      audit-env report logs/bench --format html --out report.html
      audit-env bench leaderboard logs/bench --out leaderboard.json
      audit-env bench verify leaderboard.json logs/bench
    """  # noqa: D301


@bench.command()
@click.argument("runs", metavar="AUDITORS.yaml", type=click.Path(path_type=Path))
@click.option("--logs", type=click.Path(path_type=Path), default=Path("logs/bench"), show_default=True)
@click.option("--recorded", default="logs", show_default=True, help="Logs of earlier audits, for the estimate of time.")
@click.option("--dry-run", is_flag=True, help="Say what would be run, and stop.")
@click.option("--yes", is_flag=True, help="Do not ask before it starts.")
@click.option("--display", type=click.Choice(["full", "rich", "plain", "none"]), default="plain", show_default=True)
def run(runs: Path, logs: Path, recorded: str, dry_run: bool, yes: bool, display: str) -> None:
    """Run every auditor of a file on every set, at every level, under every seed.

    The same command goes on where a run was stopped. The file:

    \b
      affordances: [black_box, white_box]
      sets: [fruitfly_dev]           # default
      seeds: [0, 1]                  # default: [0]; also: epochs, targets, answers, brief
      auditors:
        - {name: scripted, solver: agents/scripted.py@scripted}
        - {name: claude, model: anthropic/claude-sonnet-4-5}

    A level such as black_box-then-white_box is played in phases, by models: each verdict has a row of its own in tables
    and leaderboard. Scripts play single levels.
    """  # noqa: D301
    from audit_env.analysis import runsets
    from audit_env.commands.output import console, table

    run_set = runsets.read(runs)
    coming = runsets.foreseen(run_set, recorded if Path(recorded).exists() else None)
    drawn = table("auditor", "audits", "minutes of work")
    for one in coming:
        drawn.add_row(one.auditor, f"{one.audits:,}", "unknown" if one.seconds is None else f"{one.seconds / 60:,.1f}")
    where = console()
    where.print(drawn)
    for one in coming:
        if one.paid:
            cost = f"{one.runs} times: {one.cost}" if one.cost else "cost not known: the price list lacks its model."
            where.print(f"{one.auditor}, {cost}", soft_wrap=True, highlight=False)
    where.print(
        "Minutes: as long as recorded audits took, one after the other. Costs: of auditors alone, without graders and "
        "helpers.",
        style="dim",
        soft_wrap=True,
    )
    if dry_run:
        return
    if not yes:
        click.confirm("Start?", abort=True)
    unfinished = [name for name, done in runsets.run(run_set, logs, display=display) if not done]
    if unfinished:
        raise click.ClickException(f"Not finished: {', '.join(unfinished)}. The same command goes on.")
    click.echo(f"Done. Now:  audit-env report {logs} --format html --out report.html")


@bench.command()
@click.argument("sources", metavar="LOG|DIR...", nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path), help="File to write. Default: print it.")
def leaderboard(sources: tuple[str, ...], out: Path | None) -> None:
    """Write a leaderboard: figures of every auditor, with the hashes of the logs that they come from."""
    from audit_env.analysis import leaderboard as boards

    text = boards.written(boards.leaderboard(sources))
    if out is None:
        click.echo(text, nl=False)
        return
    out.write_text(text, encoding="utf-8")
    click.echo(str(out))


@bench.command()
@click.argument("board", metavar="LEADERBOARD.json")
@click.argument("sources", metavar="LOG|DIR...", nargs=-1, required=True)
def verify(board: str, sources: tuple[str, ...]) -> None:
    """Check a leaderboard: its logs are there, unaltered, and give the same figures again."""
    from audit_env.analysis import leaderboard as boards
    from audit_env.commands.output import complain

    read = boards.read(board)
    if complain(boards.faults(read, sources)):
        raise SystemExit(1)
    click.echo(f"{len(read.entries):,} entries agree with their logs.")
