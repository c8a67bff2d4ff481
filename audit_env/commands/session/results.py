"""`audit-env session results`: close, open, score."""

from pathlib import Path

import click
from rich.text import Text

from audit_env.commands.output import console, print_json, section, table


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--baselines", multiple=True, metavar="LOG|DIR", help="Logs of agents, for the same targets beside.")
@click.option("--early", is_flag=True, help="Close although audits are missing; they count as missed.")
@click.option("--log-dir", type=click.Path(file_okay=False, path_type=Path), help="Write opened, scored logs there.")
@click.option("--json", "form", flag_value="json", help="Print JSON, every figure at full precision.")
@click.option("--markdown", "form", flag_value="markdown", help="Print a Markdown table.")
def results(file: Path, baselines: tuple[str, ...], early: bool, log_dir: Path | None, form: str | None) -> None:
    """Close the session FILE, open its truth, and score it. Nothing can be handed in after that.

    The score is that of any game. One row for each team and level, then agents on the same targets. Given again, it
    prints the same.

    \b
      audit-env session results final.session
      audit-env session results final.session --baselines logs/baselines --log-dir logs/final
    """  # noqa: D301
    from audit_env.game.audits import read_logs
    from audit_env.sessions.referee import results as referee
    from audit_env.sessions.referee.adjudication import agreements, in_words, questions
    from audit_env.sessions.referee.ledger import Ledger

    logs = [log for source in baselines for log in read_logs(source)]
    ledger = Ledger(file)
    asked = questions(ledger)
    referee.close(ledger, asked, early=early)
    rows = referee.rows(ledger, asked, logs, log_dir)
    told = [referee.cells(row) for row in rows]
    agreed = in_words(agreements(ledger, asked))
    match form:
        case "json":
            print_json({"rows": [referee.as_data(row) for row in rows], "agreement": agreed})
        case "markdown":
            rule = ["---", "---", *["--:"] * (len(referee.HEADINGS) - 2)]
            lines = [f"| {' | '.join(line)} |".replace("\n", " ") for line in (referee.HEADINGS, rule, *told)]
            click.echo("\n".join([*lines, "", *agreed, *referee.NOTES]))
        case _:
            drawn = table(*referee.HEADINGS)
            for line in told:
                drawn.add_row(*map(Text, line))
            section(console(), drawn, *(Text(note, style="dim") for note in (*agreed, *referee.NOTES)))
