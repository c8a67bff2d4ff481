"""`audit-env judge`: how far a judge of open answers can be trusted."""

import sys
from contextlib import redirect_stdout, suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from audit_env.commands.output import complain, console, print_json, section, table
from audit_env.errors import ParameterError

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog

    from audit_env.game.judging.agreement import Agreement
    from audit_env.stats import Interval

LOGS = "logs/judge"
SAME = "validation"
"""Where a log says who judged what."""
STOPPED = 130
"""Exit status after Ctrl-C, as shells have it."""


@click.group()
def judge() -> None:
    """Measure the judge of open answers against labelled hypotheses."""


@judge.command()
@click.option("--grader", metavar="MODEL", help="An Inspect model, such as openai/gpt-5.")
@click.option(
    "--judge",
    "name",
    type=click.Choice(["grader", "lexical"]),
    default="grader",
    show_default=True,
    help="Who judges: a model, or the offline judge of words.",
)
@click.option("--split", type=click.Choice(["test", "tune"]), default="test", show_default=True, help="Which half.")
@click.option("--votes", type=click.IntRange(min=1), default=1, show_default=True, help="Judgements a hypothesis.")
@click.option("--folder", type=click.Path(exists=True, file_okay=False), help="Labelled hypotheses of your own.")
@click.option("--log-dir", default=LOGS, show_default=True, help="Where the log goes, and is looked for.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def validate(
    grader: str | None, name: str, split: str, votes: int, folder: str | None, log_dir: str, as_json: bool
) -> None:
    """Judge labelled hypotheses, and print how far the judge agrees with the labels.

    Each hypothesis is judged as the game judges a claim. Ctrl-C keeps what was judged: the same command goes on from
    there. Figures are over the verdicts that were of use; the others are counted.

    \b
      audit-env judge validate --grader openai/gpt-5
      audit-env judge validate --grader openai/gpt-5 --votes 3 --json
      audit-env judge validate --judge lexical
    """  # noqa: D301
    from audit_env.game.judging.agreement import agreement
    from audit_env.game.judging.validation import verdicts_of

    if (name == "grader") != (grader is not None):
        raise ParameterError("Name either a model (--grader openai/gpt-5) or the offline judge (--judge lexical).")
    chosen = {"split": split, "judge": name, "votes": votes} | ({"folder": folder} if folder else {})
    log = _run(chosen, grader, log_dir)
    verdicts = verdicts_of(log)
    found, asked = agreement(verdicts), log.eval.dataset.samples or 0
    who = grader or name
    if as_json:
        print_json(_plain(found, {"by": who, **chosen, "log": log.location, "missing": asked - len(verdicts)}))
    else:
        _show(found, who, split, log.location)
    if len(verdicts) < asked:
        complain([f"{len(verdicts)} of {asked} hypotheses were judged ({log.status}): the same command goes on."])
        raise SystemExit(STOPPED if log.status == "cancelled" else 1)


@judge.command()
def tune() -> None:
    """Choose the thresholds of the offline judge anew, and measure it.

    Thresholds are chosen on one half of the labelled hypotheses and measured on the other; both are written into the
    package, with the sentence in the guide. Needed after a change of hypotheses, quirks or menu.
    """
    from audit_env.catalog.files import Catalog
    from audit_env.game.judging.lexical import caveat
    from audit_env.game.judging.tuning import tuned, write

    found = tuned(Catalog())
    write(found)
    click.echo(caveat(found.test))


def _run(chosen: dict[str, Any], grader: str | None, log_dir: str) -> "EvalLog":
    """Run the task, or go on with the run of the same that did not end."""
    from inspect_ai import eval, eval_retry

    from audit_env.tasks.judge_validation import judge_validation

    task = judge_validation(**chosen)
    same = {"grader": grader, **(task.metadata or {})}
    before = _newest(log_dir, same)
    display: Any = "rich" if sys.stderr.isatty() else "none"
    # Progress is for the person at the terminal; what is printed here may go into a file or a pipe.
    with redirect_stdout(sys.stderr), suppress(KeyboardInterrupt):
        if before is not None and before.status != "success":
            eval_retry(before, log_dir=log_dir, display=display)
        else:
            eval(
                task,
                model="none",
                model_roles={"grader": grader} if grader else None,
                log_dir=log_dir,
                metadata={SAME: same},
                display=display,
                continue_on_fail=True,
            )
    # From the disk, because an interrupted eval hands nothing over.
    log = _newest(log_dir, same)
    if log is None:
        raise ParameterError(f"Nothing was judged: no log came to '{log_dir}'; name another folder with --log-dir.")
    return log


def _newest(log_dir: str, same: dict[str, Any]) -> "EvalLog | None":
    """The newest log of a run of the same judge on the same hypotheses."""
    from inspect_ai.log import list_eval_logs, read_eval_log

    for info in list_eval_logs(log_dir):
        header = read_eval_log(info, header_only=True)
        if (header.eval.metadata or {}).get(SAME) == same:
            return read_eval_log(info)
    return None


def _plain(found: "Agreement", about: dict[str, Any]) -> dict[str, Any]:
    return about | {"judged": found.judged, "unusable": found.unusable} | asdict(found)


def _show(found: "Agreement", who: str, split: str, log: str) -> None:
    where = console()
    kappa = found.kappa
    worth = "-" if kappa.value is None else f"{kappa.value:.2f} [{kappa.low:.2f}, {kappa.high:.2f}]"
    figures = table(f"{who}, half '{split}'", "", "n")
    figures.add_row("Cohen's kappa", worth, str(kappa.n))
    rates = {"agreement": found.agreement, "sensitivity": found.sensitivity, "specificity": found.specificity}
    for heading, rate in rates.items():
        figures.add_row(heading, *_cells(rate))
    figures.add_row("no usable verdict", str(found.unusable), str(found.judged + found.unusable))
    errors = table("error by category", "", "n")
    for category, rate in found.errors.items():
        errors.add_row(category, *_cells(rate))
    section(where, figures)
    section(where, errors)
    note = "Brackets: 95 %; kappa by bootstrap over quirks, rates by Wilson, clustered by quirk."
    section(where, note, f"Log: {log}")


def _cells(rate: "Interval") -> tuple[str, str]:
    return ("-" if rate.rate is None else f"{rate.rate:.2f} [{rate.low:.2f}, {rate.high:.2f}]"), str(rate.n)
