"""`audit-env cache`: the answers of organisms that are kept on this machine."""

import click
from rich.text import Text

from audit_env.commands.output import console, print_json
from audit_env.runtime.answers import Answers

_MEGABYTE = 10**6


@click.group()
def cache() -> None:
    """See or throw away the answers that are kept on this machine.

    An answer that the same weights, code and settings gave to the same prompt before is not computed again. Set
    AUDIT_ENV_CACHE to "greedy" (the default: answers at temperature 0 are kept), "all" (sampled ones too) or "off",
    and AUDIT_ENV_CACHE_DIR to the folder where they are to lie.
    """


@cache.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def show(as_json: bool) -> None:
    """Show where answers are kept, which, how many, and how large they may grow.

    --json prints {"path", "keep", "answers", "bytes", "most_bytes"}.
    """
    kept = Answers.from_environment()
    stock = kept.stock()
    if as_json:
        found = {"answers": stock.answers, "bytes": stock.size}
        print_json({"path": str(kept.path), "keep": kept.keep} | found | {"most_bytes": kept.most})
        return
    size, most = (f"{count / _MEGABYTE:,.1f}" for count in (stock.size, kept.most))
    console().print(
        Text(
            f"{kept.path}\n{stock.answers:,} answers, {size} of at most {most} MB (AUDIT_ENV_CACHE is '{kept.keep}')."
        ),
        soft_wrap=True,
    )


@cache.command()
def clear() -> None:
    """Throw all kept answers away. Runs that are under way go on."""
    found = Answers.from_environment().clear()
    console().print(f"{found:,} answers were thrown away.", highlight=False)
