"""`audit-env session status`: who plays, and how far they are."""

from pathlib import Path
from typing import Any

import click
from rich.text import Text

from audit_env.commands.output import console, print_json, section, table


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(file: Path, as_json: bool) -> None:
    """Show how far the session FILE is: seats, audits that came in, who plays, time used. It tells no truth.

    \b
      audit-env session status final.session
    """  # noqa: D301
    from audit_env.sessions.referee.ledger import Ledger
    from audit_env.sessions.referee.standing import standing

    found = standing(Ledger(file))
    if as_json:
        print_json(found)
        return
    teams = table("team", "seats", "in", "of", "minutes played", "being played")
    for team in found["teams"]:
        teams.add_row(*(Text(cell) for cell in _cells(team)))
    section(
        console(),
        f"Session {found['session']}, opened {found['opened']}, {'closed' if found['closed'] else 'open'}.",
        teams,
        Text(f"Last entry {found['entries']}: {found['head']}", style="dim"),
    )


def _cells(team: dict[str, Any]) -> list[str]:
    playing = ", ".join(f"{one['player']}: {one['audit']}" for one in team["playing"])
    return [
        team["team"],
        ", ".join(team["seats"]) or "-",
        str(team["in"]),
        str(team["audits"]),
        f"{team['seconds'] / 60:.1f}",
        playing or "-",
    ]
