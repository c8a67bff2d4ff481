"""`audit-env session`: people at the table, and what was sealed."""

import click
from rich.console import Console

from audit_env.commands.output import complain


@click.group()
def session() -> None:
    """Play as the auditor yourself, and check what was sealed."""


@session.command()
@click.argument("player", metavar="NAME")
@click.argument("task", default="audit_env/hidden_objective")
@click.option(
    "-T", "task_args", multiple=True, metavar="NAME=VALUE", help="A parameter of the task, as in inspect eval."
)
@click.option("--minutes", type=click.IntRange(min=1), help="Time for each target, over all sittings.")
@click.option("--afresh", is_flag=True, help="Begin games anew that were left.")
@click.option("--log-dir", default="logs", show_default=True, help="Where the log is written.")
def play(player: str, task: str, task_args: tuple[str, ...], minutes: int | None, afresh: bool, log_dir: str) -> None:
    """Audit in person, in this terminal, under NAME.

    Brief, tools, budget, report and log are those of any auditor; the log's model is human/NAME. Type  help  to see how
    to play. Leave at any time: the same command goes on where you were, after a kill too. Without -T affordance you
    play black_box; without -T targets, one target.

    \b
      audit-env session play alice
      audit-env session play alice -T affordance=white_box -T targets=3 --minutes 45
    """  # noqa: D301
    from audit_env.sessions.playing import play_in_person

    play_in_person(player, task, task_args, minutes=minutes, afresh=afresh, log_dir=log_dir)


@session.command()
@click.argument("log", metavar="LOG")
def verify(log: str) -> None:
    """Check the seals of a log.

    Of every audit: the truth was committed to before the first call and is the one that was opened; the report is the
    one that was handed in before the opening. Ends with status 1 if a seal is broken.
    """
    from audit_env.game.table import read_logs
    from audit_env.game.verification import check_seals

    checks = [check for read in read_logs(log) for check in check_seals(read)]
    complain(f"{check.sample} (epoch {check.epoch}): {fault}" for check in checks for fault in check.faults)
    states = [check.state for check in checks]
    told = ", ".join(f"{states.count(state)} {state}" for state in ("holds", "broken", "unopened") if state in states)
    Console().print(f"Seals of {len(checks)} audits: {told}.", soft_wrap=True)
    if "broken" in states:
        raise SystemExit(1)
