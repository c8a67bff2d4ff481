"""`audit-env session`: people at the table, and what was sealed."""

import click

from audit_env.commands.session.adjudicate import adjudicate
from audit_env.commands.session.join import join
from audit_env.commands.session.open import open_
from audit_env.commands.session.play import play
from audit_env.commands.session.red import red
from audit_env.commands.session.results import results
from audit_env.commands.session.status import status
from audit_env.commands.session.take import take
from audit_env.commands.session.verify import verify


@click.group()
def session() -> None:
    """Play as the auditor yourself, referee sessions of teams, and check what was sealed."""


for command in (play, open_, join, status, take, adjudicate, results, verify, red):
    session.add_command(command)
