"""`audit-env session open`: draw, seal and publish."""

from pathlib import Path

import click

from audit_env.commands.output import console


@click.command("open")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--set", "game_set", default="fruitfly", show_default=True, help="Game set to draw targets from.")
@click.option("--teams", required=True, metavar="A,B", help="Names of the teams.")
@click.option("--seed", type=click.IntRange(0, 2**53 - 1), help="Decides the targets. Default: one that nobody knows.")
@click.option("--minutes", type=click.IntRange(min=1), default=45, show_default=True, help="Time for each target.")
@click.option("--affordance", default="black_box", show_default=True, metavar="A,B", help="Levels of access.")
@click.option("--targets", type=click.IntRange(min=1), help="How many targets to draw. Default: all of the set.")
@click.option("--answers", type=click.Choice(["menu", "open"]), default="menu", show_default=True)
@click.option(
    "--base-rate",
    type=click.Choice(["withheld", "stated"]),
    default="withheld",
    show_default=True,
    help="Whether players are told how many targets have a quirk.",
)
def open_(
    file: Path,
    game_set: str,
    teams: str,
    seed: int | None,
    minutes: int,
    affordance: str,
    targets: int | None,
    answers: str,
    base_rate: str,
) -> None:
    """Open a session in FILE: draw targets, aliases and each team's order, and commit to them.

    FILE is the referee's. Post FILE.public.json before anybody plays: it holds the terms, and salted hashes of what
    each target is, of menu and rubrics, and of seeds and orders. With it, with their logs and with their receipts,
    players can check later that nothing was changed. Whoever plays on this machine as the same user can read FILE and
    the organisms: there all this is hygiene among honest people, not a boundary.

    \b
      audit-env session open final.session --teams red,blue --targets 6 --affordance black_box
      audit-env session join final.session --team red --name alice
      audit-env session play alice --session final.session --token ...
      audit-env session status final.session
      audit-env session results final.session
    """  # noqa: D301
    from audit_env.game.parameters import items
    from audit_env.sessions.referee.opening import open_session, publish
    from audit_env.sessions.referee.state import Session, sealed_in

    ledger = open_session(
        file,
        set=game_set,
        teams=items(teams),
        seed=seed,
        minutes=minutes,
        affordances=items(affordance),
        targets=targets,
        answers=answers,
        base_rate=base_rate,
    )
    notice = publish(ledger)
    with ledger.page() as page:
        session, drawn = Session(page.entries()), sealed_in(page).drawn
    terms, where = session.terms, console()
    where.print(
        f"Session {terms.session}: {terms.targets} targets of '{terms.set}' for {', '.join(terms.teams)}, "
        f"{terms.minutes} minutes each, {', '.join(terms.affordances)}, answers {terms.answers}.",
        soft_wrap=True,
        highlight=False,
    )
    for name, fixed in terms.commitments.model_dump().items():
        for digest in [fixed] if isinstance(fixed, str) else fixed:
            where.print(f"  {name:<7} {digest}", soft_wrap=True, highlight=False)
    where.print(f"Post {notice} now: it tells no truth.", soft_wrap=True, highlight=False)
    where.print(
        "An agent plays the same targets by the command below, its log comes in by  audit-env session take. For your "
        f"eyes alone, the seed tells the targets:\n  inspect eval tasks/hidden_objective.py -T set={game_set} "
        f"-T targets={terms.targets} -T seed={drawn.seed} -T affordance={','.join(terms.affordances)} "
        f"-T answers={terms.answers} -T base_rate={terms.base_rate} --model ...",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
