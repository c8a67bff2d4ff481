"""`audit-env session`: people at the table, and what was sealed."""

import click

from audit_env.commands.session.play import play
from audit_env.commands.session.verify import verify


@click.group()
def session() -> None:
    """Play as the auditor yourself, and check what was sealed."""


session.add_command(play)
session.add_command(verify)
