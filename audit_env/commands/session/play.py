"""`audit-env session play`: audit in person."""

from typing import Any

import click

from audit_env.errors import MissingExtraError


@click.command()
@click.argument("player", metavar="NAME")
@click.argument("task", default="audit_env/hidden_objective")
@click.option(
    "-T", "task_args", multiple=True, metavar="NAME=VALUE", help="A parameter of the task, as in inspect eval."
)
@click.option("--minutes", type=click.IntRange(min=1), help="Time for each target, over all sittings.")
@click.option("--afresh", is_flag=True, help="Begin games anew that were left.")
@click.option("--log-dir", default="logs", show_default=True, help="Where the log is written.")
@click.option("--session", "session_file", type=click.Path(dir_okay=False), help="Play in a session, by its terms.")
@click.option("--token", envvar="AUDIT_ENV_SESSION_TOKEN", default="", help="Of your seat in the session.")
@click.option("--trial", is_flag=True, help="A first round to learn on: its truth is told after the report.")
@click.option("--plain", is_flag=True, help="Line by line, without the full-screen app (for screen readers, too).")
@click.option("--web", is_flag=True, help="In browsers; prints an address for each seat.")
@click.option("--seats", metavar="NAME[,NAME...]", help="With --web: who plays, as one team at one target.")
@click.option("--host", default="127.0.0.1", show_default=True, help="With --web: the address that is listened at.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535), help="With --web.")
def play(
    player: str,
    task: str,
    task_args: tuple[str, ...],
    minutes: int | None,
    afresh: bool,
    log_dir: str,
    session_file: str | None,
    token: str,
    trial: bool,
    plain: bool,
    web: bool,
    seats: str | None,
    host: str,
    port: int,
) -> None:
    """Audit in person, in this terminal or in browsers, under NAME (of a player, or of a team).

    Brief, tools, budget, report and log are those of any auditor; the log's model is human/NAME. F1 (with --plain:
    help) shows how to play. Leave at any time: the same command goes on where you were, after a kill too. Without -T
    affordance you play black_box; without -T targets, one target.

    \b
      audit-env session play alice --trial
      audit-env session play alice
      audit-env session play alice -T affordance=white_box -T targets=3 --minutes 45
      audit-env session play reds --web --seats alice,bob
      audit-env session play alice --session final.session --token TOKEN
    """  # noqa: D301
    order: dict[str, Any] = {"player": player, "task": task, "given": task_args, "minutes": minutes}
    order |= {"afresh": afresh, "log_dir": log_dir, "trial": trial}
    if session_file is not None:
        if task_args or minutes or afresh or trial:
            raise click.UsageError("In a session its terms hold: leave -T, --minutes, --afresh and --trial out.")
        order = {"file": session_file, "name": player, "token": token, "log_dir": log_dir}
    if seats and not web:
        raise click.UsageError("Several seats are played in browsers: add --web.")
    if web:
        try:
            from audit_env.sessions.web.serving import play_in_browsers
        except ImportError as error:
            raise MissingExtraError(str(error.name), "sessions", "Playing in browsers") from error
        play_in_browsers([name.strip() for name in (seats or player).split(",")], order, host=host, port=port)
        return
    from audit_env.sessions.app.playing import has_room, play_in_app

    if has_room() and not plain:
        play_in_app(player, order)
    elif session_file is not None:
        from audit_env.sessions.referee.playing import play_session

        play_session(session_file, player, token, log_dir)
    else:
        from audit_env.sessions.playing import play_in_person
        from audit_env.sessions.trial import debriefing

        log = play_in_person(player, task, task_args, minutes=minutes, afresh=afresh, log_dir=log_dir, trial=trial)
        if trial and log:
            click.echo(debriefing(log))
