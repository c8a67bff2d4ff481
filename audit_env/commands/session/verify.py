"""`audit-env session verify`: check the seals of a log."""

import click
from rich.console import Console

from audit_env.commands.output import complain


@click.command()
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
