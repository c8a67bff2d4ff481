"""`audit-env session verify`: check the seals of a log, or a whole session."""

from pathlib import Path

import click
from rich.console import Console

from audit_env.commands.output import complain


@click.command()
@click.argument("source", metavar="LOG|FILE", type=click.Path(path_type=Path))
@click.argument("logs", nargs=-1, metavar="[LOG]...", type=click.Path(path_type=Path))
@click.option("--notice", type=click.Path(exists=True, path_type=Path), help="What was posted at a session's opening.")
@click.option("--receipt", "receipts", multiple=True, help="What a player was told when they handed in.")
def verify(source: Path, logs: tuple[Path, ...], notice: Path | None, receipts: tuple[str, ...]) -> None:
    """Check the seals of a log, or the session FILE with the logs that its players kept.

    Of every audit: the truth was committed to before the first call and is the one that was opened; the report is the
    one that was handed in before the opening. Of a session besides: nothing in its ledger was changed, left out or put
    in; truths, rubrics, seeds and orders are those that were committed to; logs and reports are those that came in.
    Ends with status 1 if anything is broken.

    \b
      audit-env session verify logs/<log>.eval
      audit-env session verify final.session logs/<log>.eval --notice final.session.public.json --receipt HASH
    """  # noqa: D301
    from audit_env.sessions.referee.ledger import is_session

    if is_session(source):
        _verify_session(source, logs, notice, receipts)
        return
    if logs or notice or receipts:
        raise click.UsageError(f"'{source}' is not the file of a session: give one log, or a session with its logs.")
    _verify_log(source)


def _verify_log(log: Path) -> None:
    from audit_env.game.audits import read_logs
    from audit_env.game.verification import check_seals

    checks = [check for read in read_logs(log, trials=True) for check in check_seals(read)]
    complain(f"{check.sample} (epoch {check.epoch}): {fault}" for check in checks for fault in check.faults)
    states = [check.state for check in checks]
    told = ", ".join(f"{states.count(state)} {state}" for state in ("holds", "broken", "unopened") if state in states)
    Console().print(f"Seals of {len(checks)} audits: {told}.", soft_wrap=True)
    if "broken" in states:
        raise SystemExit(1)


def _verify_session(file: Path, logs: tuple[Path, ...], notice: Path | None, receipts: tuple[str, ...]) -> None:
    from audit_env.sessions.referee.checking import check
    from audit_env.sessions.referee.ledger import Ledger

    found = check(Ledger(file), logs, notice, receipts)
    complain(found.faults)
    Console().print(
        f"Session: {found.entries} entries, {found.audits} audits, {found.logs} logs and {len(receipts)} receipts "
        f"compared; the notice was {'compared' if found.noticed else 'not there'}; orders were {found.redrawn}. "
        f"{'It is broken.' if found.faults else 'It holds.'}",
        soft_wrap=True,
    )
    if found.faults:
        raise SystemExit(1)
