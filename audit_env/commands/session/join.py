"""`audit-env session join`: give a player a seat."""

from pathlib import Path

import click


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--team", required=True, help="The team.")
@click.option("--name", required=True, help="The name under which they play.")
def join(file: Path, team: str, name: str) -> None:
    """Give somebody a seat in the session FILE, and print its token.

    The token is told this once. Members of a team share its targets: each target is played by the one who begins it.

    \b
      audit-env session join final.session --team red --name alice
    """  # noqa: D301
    from audit_env.sessions.referee.ledger import Ledger
    from audit_env.sessions.referee.seats import join

    token = join(Ledger(file), team, name)
    click.echo(f"{name} sits in team {team}. Tell nobody else this command:")
    click.echo(f"  audit-env session play {name} --session {file} --token {token}")
