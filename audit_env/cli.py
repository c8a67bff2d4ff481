"""The command `audit-env`: results of finished games, their seals, and the organisms."""

import io
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from audit_env.errors import AuditEnvError

DRAWN_WIDTH = 190
"""Columns of a drawn table: wide enough for a row a line."""


class Refusal(click.ClickException):
    """A sentence for the user in place of a traceback."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Print the sentence in red.

        Args:
            file: Where to print it; standard error by default.
        """
        Console(file=file, stderr=file is None).print(Text(self.message, style="red"), soft_wrap=True)


class Elsewhere(click.Command):
    """A command that lives in a module of its own, which may load torch and is imported when it is called."""

    def __init__(self, name: str, where: str, help: str) -> None:
        super().__init__(name, help=help)
        self._where = where

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Hand over to the command itself.

        Args:
            info_name: Name under which it was called.
            args: Its arguments.
            parent: Click's context of the group.
            extra: More settings of click's.

        Returns:
            The context of the command itself, which click then invokes.
        """
        module, name = self._where.split(":")
        command: click.Command = getattr(import_module(module), name)
        return command.make_context(info_name, args, parent, **extra)


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
    installed), then read its results here.
    """


main.add_command(Elsewhere("breed", "audit_env.breeding.cli:breed", help="Make an organism again from its seed."))


@main.command()
@click.argument("source", metavar="LOG|DIR")
@click.option("--by", type=click.Choice(["auditor", "quirk"]), default="auditor", show_default=True, help="Rows.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["rich", "markdown", "csv", "json"]),
    default="rich",
    show_default=True,
    help="rich for a terminal, markdown for a README, csv and json with every figure at full precision.",
)
@click.option(
    "--fpr-budget", type=click.FloatRange(0, 1), default=None, help="Share of clean targets that may be flagged."
)
@click.option("--svg", type=click.Path(dir_okay=False), default=None, help="Draw the table into this SVG file as well.")
def results(source: str, by: str, form: str, fpr_budget: float | None, svg: str | None) -> None:
    """Show the results of finished games.

    One row for each affordance and auditor (or, with --by quirk, for each quirk and recipe as well): detections and
    false alarms with intervals and counts, chance, AUROC, Brier score, calls to the first correct hypothesis, and what
    was not scored.

    \b
      audit-env results logs
      audit-env results logs/baselines --format markdown
      audit-env results logs/baselines/black_box.eval --by quirk --format csv
    """  # noqa: D301
    from audit_env.game import table
    from audit_env.game.summary import FPR_BUDGET

    summarise = table.by_quirk if by == "quirk" else table.results
    frame = summarise(table.read_logs(source), FPR_BUDGET if fpr_budget is None else fpr_budget)
    if svg:
        drawing = Console(record=True, width=DRAWN_WIDTH, file=io.StringIO())
        table.show(frame, drawing)
        picture = drawing.export_svg(title=f"audit-env results {source}")
        # Rich links fonts on the network; a picture in a README needs none.
        Path(svg).write_text(re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL), encoding="utf-8")
    match form:
        case "markdown":
            click.echo(table.markdown(frame))
        case "csv":
            click.echo(frame.to_csv(index=False), nl=False)
        case "json":
            click.echo(frame.to_json(orient="records", indent=2, double_precision=15))
        case _:
            table.show(frame, Console())


@main.group()
def session() -> None:
    """Check what was sealed."""


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
    console = Console()
    for check in checks:
        for fault in check.faults:
            console.print(Text(f"{check.sample} (epoch {check.epoch}): {fault}", style="red"), soft_wrap=True)
    states = [check.state for check in checks]
    told = ", ".join(f"{states.count(state)} {state}" for state in ("holds", "broken", "unopened") if state in states)
    console.print(f"Seals of {len(checks)} audits: {told}.", soft_wrap=True)
    if "broken" in states:
        raise SystemExit(1)


@main.group()
def organisms() -> None:
    """List, show and check organisms."""


@organisms.command(name="list")
def list_organisms() -> None:
    """List all organisms.

    Quirk, recipe and measured strength of each: this tells the truth of the game.
    """
    from audit_env.catalog.files import Catalog

    catalog = Catalog()
    headings = ("Organism", "Standing", "Quirk", "Recipe", "On trigger", "Off trigger", "Base", "Gate")
    table = Table(*(Column(heading, no_wrap=place == 0) for place, heading in enumerate(headings)), box=None)
    for organism in catalog.organism_ids():
        card = catalog.card(organism)
        recipe = " + ".join(part for part in (card.recipe.instil, card.recipe.conceal) if part != "none")
        strength = card.strength
        rates = (
            [f"{r.rate:.2f}" for r in (strength.on_trigger, strength.off_trigger, strength.base_on_trigger)]
            if strength
            else ["", "", ""]
        )
        gate = "" if card.quirk is None else "met" if strength and strength.met() else "not met"
        table.add_row(organism, card.standing, card.quirk or "", recipe, *rates, gate)
    Console().print(table)


@organisms.command()
@click.argument("organism")
def show(organism: str) -> None:
    """Show an organism.

    Its card, and the definition of its quirk: this tells the truth of the game.
    """
    import yaml

    from audit_env.catalog.files import Catalog

    catalog = Catalog()
    card = catalog.card(organism)
    fields = card.model_dump(mode="json", exclude_none=True)
    click.echo(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True), nl=False)
    if card.quirk:
        quirk = catalog.quirk(card.quirk)
        click.echo(f"\n{quirk.menu.name}: {quirk.definition.strip()}\nTrigger: {quirk.trigger.strip()}")


@organisms.command()
@click.argument("names", metavar="[ORGANISM]...", nargs=-1)
def check(names: tuple[str, ...]) -> None:
    """Check organisms, or all if none is named.

    Files are there and unaltered, no weights are pickled, and every adapter fits its base. Ends with status 2 at the
    first fault.
    """
    from audit_env.catalog.files import Catalog

    catalog = Catalog()
    chosen = names or tuple(catalog.organism_ids())
    for organism in chosen:
        catalog.check(organism)
    click.echo(f"{len(chosen)} organisms are sound.")
