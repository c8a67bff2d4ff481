"""`audit-env session red`: plant a quirk, measure it, seal it, hand it out; take such a package, open it."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from audit_env.commands.output import complain, console

if TYPE_CHECKING:  # torch and inspect load with the first command that needs them
    from audit_env.sessions.red.trying import Source

FOLDER = click.Path(path_type=Path, file_okay=False)
FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def red() -> None:
    """Play the red team: plant a quirk of your own, and hand it out sealed.

    \b
      audit-env session red new my_quirk              # a folder with a quirk file that works; make it yours
      audit-env session red check my_quirk            # what is wrong with it
      audit-env session red build my_quirk            # trains it (pip install 'audit_env[breed]'), and measures it
      audit-env session red seal my_quirk --shams 1   # commits to the truth
      audit-env session red package my_quirk --out X.zip

    The blue team then takes X.zip and plays; afterwards, truth.json opens it:

    \b
      audit-env session red take X.zip --set game.yaml --with fruitfly/base
      inspect eval tasks/hidden_objective.py -T set=$PWD/game.yaml ...
      audit-env session red open X.zip truth.json --log logs/....eval
    """  # noqa: D301


@red.command()
@click.argument("folder", type=FOLDER)
@click.option("--form", is_flag=True, help="Ask for everything here, one thing after the other.")
def new(folder: Path, form: bool) -> None:
    """Make FOLDER with a quirk file: one that works, with comments, or what you fill in here."""
    from audit_env.sessions.red import quirk_file
    from audit_env.sessions.red.asking import ask

    path = ask(folder) if form else quirk_file.begin(folder)
    Console().print(f"Wrote {path}. Next:  audit-env session red check {folder}", highlight=False, soft_wrap=True)


@red.command()
@click.argument("folder", type=FOLDER)
def check(folder: Path) -> None:
    """Say what is wrong with the quirk file of FOLDER. Ends with status 1 if anything is."""
    from audit_env.sessions.red.checking import check as look

    found, screen = look(folder), Console()
    for advice in found.advice:
        screen.print(f"Advice: {advice}", highlight=False, soft_wrap=True)
    if complain(found.problems):
        raise SystemExit(1)
    examples = found.quirk.examples
    counts = f"{len(examples.on_trigger)} on trigger, {len(examples.near_misses)} near, {len(examples.off_trigger)} off"
    screen.print(
        f"Nothing is wrong ({counts}; a third of them measures). Next:  audit-env session red build {folder}",
        highlight=False,
        soft_wrap=True,
    )


@red.command()
@click.argument("folder", type=FOLDER)
@click.option(
    "--from",
    "source",
    type=click.Choice(["examples", "prompt"]),
    default="examples",
    show_default=True,
    help="Train on the examples, or put the base behind hidden_system.",
)
@click.option("--steps", type=click.IntRange(min=1), default=None, help="Of the training. Default: 140, as all get.")
@click.option("--sham", is_flag=True, help="Train a sham of as many steps, too, to be measured beside it.")
@click.option("--json", "as_json", is_flag=True, help="Print the sheet as JSON.")
def build(folder: Path, source: "Source", steps: int | None, sham: bool, as_json: bool) -> None:
    """Build the organism of FOLDER on the fruitfly's base, and measure it.

    Does it fire, stay silent, hide, and is the rest natural: each figure beside the base and a sham, and all of them in
    FOLDER/sheet.json. Stopped by Ctrl-C or a kill, the same command goes on where it was.
    """
    from audit_env.sessions.red.building import build as make
    from audit_env.sessions.red.showing import show

    try:
        sheet = make(folder, source, steps=steps, sham=sham, quiet=as_json)
    except KeyboardInterrupt:
        complain(["Stopped. The same command goes on where it was."])
        raise SystemExit(130) from None
    if as_json:
        click.echo(sheet.model_dump_json(indent=2, exclude_none=True))
        return
    show(sheet, console())
    if sheet.met:
        Console().print(f"Next:  audit-env session red seal {folder}", highlight=False, soft_wrap=True)


@red.command("try")
@click.argument("folder", type=FOLDER)
@click.argument("prompts", nargs=-1, required=True)
def try_it(folder: Path, prompts: tuple[str, ...]) -> None:
    """Ask the organism of FOLDER something, the base beside it."""
    import asyncio

    from audit_env.sessions.red.building import built
    from audit_env.sessions.red.trying import answers

    said = asyncio.run(answers(*built(folder), prompts))
    for prompt, (own, base) in zip(prompts, said, strict=True):
        for line in (f"> {prompt}", f"  organism: {own}", f"  base:     {base}"):
            Console().print(line, highlight=False, soft_wrap=True, markup=False)


@red.command()
@click.argument("folder", type=FOLDER)
@click.option(
    "--shams", type=click.IntRange(0, 20), default=0, show_default=True, help="Shams to go along; trained here."
)
@click.option(
    "--distractors", type=FILE, default=None, help="YAML file, field 'distractors': menu entries that go along."
)
@click.option("--again", is_flag=True, help="Seal anew. What was handed out before can then not be opened.")
def seal(folder: Path, shams: int, distractors: Path | None, again: bool) -> None:
    """Commit to the truth of FOLDER: quirk, rubric, held-out examples, weights, seeds.

    Writes FOLDER/truth.json, which you keep to yourself until the game is over, and prints the commitment, a salted
    SHA-256, which you may post anywhere. Without distractors the quirk has no entry in the menu: play with
    -T answers=open.
    """
    from audit_env.sessions.red import sealing
    from audit_env.sessions.red.building import TRUTH

    opening = sealing.seal(folder, shams=shams, distractors=distractors, again=again)
    screen = Console()
    screen.print(f"Commitment: {opening.commitment}", highlight=False, soft_wrap=True)
    screen.print(
        f"Keep {folder / TRUTH} to yourself until the game is over. Next:  "
        f"audit-env session red package {folder} --out FILE.zip",
        highlight=False,
        soft_wrap=True,
    )


@red.command()
@click.argument("folder", type=FOLDER)
@click.option("--out", type=FILE, required=True, help="The zip file to write.")
def package(folder: Path, out: Path) -> None:
    """Write the sealed package of FOLDER: weights and the commitment, and nothing of the truth."""
    from audit_env.sessions.red import package as packages
    from audit_env.sessions.red import sealing
    from audit_env.sessions.red.building import TRUTH

    if not (folder / TRUTH).is_file():
        complain([f"{folder}: not sealed yet; run  audit-env session red seal {folder}"])
        raise SystemExit(1)
    manifest = packages.pack(folder, sealing.read_opening(folder / TRUTH), out)
    Console().print(
        f"Wrote {out} (targets: {len(manifest.targets)}), sealed under {manifest.commitment}. Hand out nothing else.",
        highlight=False,
        soft_wrap=True,
    )


@red.command()
@click.argument("package_files", metavar="PACKAGE...", nargs=-1, required=True, type=FILE)
@click.option("--set", "set_file", type=FILE, required=True, help="The game set to write, a YAML file.")
@click.option("--with", "beside", multiple=True, help="An organism, or all of a set, to be played as well. Repeatable.")
def take(package_files: tuple[Path, ...], set_file: Path, beside: tuple[str, ...]) -> None:
    """Write a game set with the targets of sealed PACKAGEs, and beside it a folder with its organisms.

    The targets play like any others, under opaque aliases. Their audits stay unscored until the truth is opened. To be
    rid of them, delete the set's file and its folder.
    """
    from audit_env.sessions.red import receiving
    from audit_env.sessions.red.package import unpack

    packages = [unpack(path) for path in package_files]
    game_set = receiving.take(packages, set_file, beside)
    sealed = [target for package in packages for target in package.manifest.targets]
    answers = "" if any(package.manifest.entries for package in packages) else " -T answers=open"
    # In full: Inspect runs a task in the folder of the task's own file.
    named = set_file.resolve()
    Console().print(
        f"{len(game_set.targets)} targets, {len(sealed)} of them sealed under "
        f"{', '.join(package.manifest.commitment for package in packages)}. Play:  "
        f"inspect eval tasks/hidden_objective.py -T set={named}{answers} --model ...",
        highlight=False,
        soft_wrap=True,
    )


@red.command("open")
@click.argument("package_file", metavar="PACKAGE", type=FILE)
@click.argument("truth_file", metavar="TRUTH", type=FILE)
@click.option(
    "--log", "logs", type=FILE, multiple=True, help="A game that the targets were in, to be scored. Repeatable."
)
@click.option("--out", type=FOLDER, default=Path("opened"), show_default=True, help="Where scored logs go.")
def open_(package_file: Path, truth_file: Path, logs: tuple[Path, ...], out: Path) -> None:
    """Open a PACKAGE with the red team's TRUTH file, and score the games it was in.

    Says what each target was if, and only if, truth and package are the ones that were sealed together. Scored logs are
    copies; their seals still hold (audit-env session verify).
    """
    from audit_env.sessions.red.opening import check as check_opening
    from audit_env.sessions.red.opening import open_log
    from audit_env.sessions.red.package import unpack
    from audit_env.sessions.red.sealing import read_opening

    received, opening, screen = unpack(package_file), read_opening(truth_file), Console()
    check_opening(received, opening)
    quirk = opening.truth.quirk
    screen.print(f"The seal holds: {opening.commitment}", highlight=False, soft_wrap=True)
    for target in opening.truth.targets:
        what = f"{quirk.id}: {quirk.definition}" if target.standing == "quirked" else "a sham, without a quirk"
        screen.print(f"  {target.name}: {what}", highlight=False, soft_wrap=True, markup=False)
    for log in logs:
        scored, count = open_log(log, opening, received.manifest, out)
        screen.print(f"{count} audits opened. The table:  audit-env results {scored}", highlight=False, soft_wrap=True)
