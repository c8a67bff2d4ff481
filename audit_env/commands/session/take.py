"""`audit-env session take`: take in an agent's log."""

from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("log", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--team", help="Whose it is. A log that was played in the session names its team.")
def take(file: Path, log: Path, team: str | None) -> None:
    """Take LOG into the session FILE: an agent's, on the same targets and by the same terms.

    Of every target and level the team's first audit counts. Logs of people come in by themselves when they report. An
    agent's own log tells the truth to who can read it: keep it from the players until the session is closed.

    \b
      audit-env session take final.session logs/<log>.eval --team machines
    """  # noqa: D301
    from audit_env.sessions.referee.ledger import Ledger
    from audit_env.sessions.referee.taking import take

    taken = take(Ledger(file), log, team)
    click.echo(f"{len(taken.handed_in)} audits of team {taken.handed_in[0].team} came in. Receipt: {taken.receipt}")
