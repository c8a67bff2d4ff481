"""The app in this terminal, with its game beside it."""

import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from audit_env.sessions.app.link import Link
from audit_env.sessions.app.table import SessionApp
from audit_env.sessions.hosting import Host
from audit_env.sessions.journal import Journal

SAVED = "Saved. The same command takes you back here."


def play_in_app(who: str, order: Mapping[str, Any]) -> None:
    """Have a person play in this terminal, full screen.

    Args:
        who: Their name.
        order: What is played, as `Host` takes it.
    """
    journal = Journal.from_environment()
    with Host(journal, order) as host:
        journal.sit_down(host.room, [who])
        told = SessionApp(Link(journal, host.room, who), host.look).run()
        if host.now.state == "playing":
            click.echo("Leaving ...")
        host.await_score()
    click.echo(told or SAVED)
    if host.troubles.exists():
        click.echo(f"What went wrong: {host.troubles}")


def has_room() -> bool:
    """Whether this terminal can show the app."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") not in (None, "dumb")
