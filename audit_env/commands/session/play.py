"""`audit-env session play`: audit in person."""

import click


@click.command()
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
