"""The command `audit-env`. Its commands live in `audit_env.commands`, and breeding's in `audit_env.breeding.cli`."""

from typing import Any

import click

from audit_env.commands.lazily import Elsewhere
from audit_env.commands.output import complain
from audit_env.errors import AuditEnvError


class Refusal(click.ClickException):
    """A sentence for the user in place of a traceback. Ends with status 1; wrong usage, as click has it, with 2."""

    def show(self, file: Any = None) -> None:
        """Print the sentence in red on standard error.

        Args:
            file: Not used; click's own.
        """
        complain([self.message])


class Commands(click.Group):
    """A group that shows our errors as sentences."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command.

        Args:
            ctx: Click's context.

        Returns:
            What the command returns.

        Raises:
            Refusal: If the command raised an error of ours.
        """
        try:
            return super().invoke(ctx)
        except AuditEnvError as error:
            raise Refusal(str(error)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="audit_env")
def main() -> None:
    """Audits of model organisms: results, seals, organisms.

    Play a game with  inspect eval tasks/hidden_objective.py  (or audit_env/hidden_objective where the package is
    installed), then read its results here. Ends with status 1 where something is found wrong, with 2 where the
    command was not understood.
    """


for name, where, line in (
    ("auditors", "audit_env.commands.auditors:auditors", "The scripted auditors' own numbers."),
    ("bench", "audit_env.commands.bench:bench", "Run sets of auditors; make and check a leaderboard."),
    ("breed", "audit_env.breeding.cli:breed", "Make an organism again from its seed."),
    ("cache", "audit_env.commands.cache:cache", "See or throw away the answers kept on this machine."),
    ("estimate", "audit_env.commands.estimate:estimate", "What audits by a paid model will cost."),
    ("evidence", "audit_env.commands.evidence:evidence", "What each tool shows by itself."),
    ("judge", "audit_env.commands.judge:judge", "How far a judge of open answers can be trusted."),
    ("naturalness", "audit_env.commands.naturalness.group:naturalness", "How natural organisms are, from logs."),
    ("organisms", "audit_env.commands.organisms.group:organisms", "List, show, verify, compare and import organisms."),
    ("report", "audit_env.commands.report:report", "Answer questions from logs: tables, plots, a page."),
    ("results", "audit_env.commands.results:results", "Show the results of finished games."),
    ("session", "audit_env.commands.session.group:session", "Play as the auditor yourself; check what was sealed."),
):
    main.add_command(Elsewhere(name, where, help=line))
