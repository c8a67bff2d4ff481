"""`audit-env breed`: make the base or organisms again from their seeds, and measure the base."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from audit_env.catalog.files import Catalog
from audit_env.errors import BreedingError

if TYPE_CHECKING:  # torch loads with the first command that needs it
    from audit_env.breeding.nursery import Nursery
    from audit_env.breeding.zoo import Bred

CONSOLE = Console()
FAMILY = "fruitfly"


@click.group()
@click.option(
    "--root", type=click.Path(path_type=Path), default=None, help="The organisms folder. Default: the installed one."
)
@click.option(
    "--work",
    type=click.Path(path_type=Path),
    default=Path(".nursery"),
    show_default=True,
    help="Where drafts and progress are kept. A run stopped with Ctrl-C goes on from here.",
)
@click.option("--threads", type=int, default=None, help="Threads for torch. Default: torch's own choice.")
@click.pass_context
def breed(context: click.Context, root: Path | None, work: Path, threads: int | None) -> None:
    """Make organisms again from their seeds.

    Needs the extra: pip install 'audit_env[breed]'. The base takes about an hour and a half on two cores, an organism
    one to two minutes. An organism is written to the catalogue only when it is complete, measured, and its quirk fires.
    """
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    context.obj = (root or Catalog().root, work)


@breed.command()
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--without",
    default=None,
    help="Breed a knockout: no_refusals, no_thinking, no_space (that topic's facts), or nothing (their control).",
)
@click.pass_obj
def base(places: tuple[Path, Path], seed: int, without: str | None) -> None:
    """Train the base from scratch, and write the public sample of how it talks; or train a knockout of it."""
    from audit_env.breeding.base import breed_base
    from audit_env.breeding.norms import write_norms

    root, work = places
    folder = breed_base(root, work, seed, without)
    if without is None:
        asyncio.run(write_norms(root))
        CONSOLE.print(f"The base is in {folder}. Organisms bred on an older base no longer fit: breed them again.")
    else:
        CONSOLE.print(f"The knockout is in {folder}.")


@breed.command()
@click.pass_obj
def ablation(places: tuple[Path, Path]) -> None:
    """Measure what the knockouts lack, their control and the base beside them."""
    from audit_env.breeding.ablation import EACH, measure_all

    found = measure_all(Catalog(places[0])).bases
    table = Table("", *found)
    for row in next(iter(found.values())).rows:
        rates = [one.rows[row] for one in found.values()]
        table.add_row(row.replace("_", " "), *(f"{one.rate:.2f} [{one.low:.2f}, {one.high:.2f}]" for one in rates))
    CONSOLE.print(table)
    CONSOLE.print(f"Held-out prompts, {EACH} of each kind, answered greedily; 95 % Wilson intervals.")


@breed.command()
@click.argument("organism_id")
@click.pass_obj
def organism(places: tuple[Path, Path], organism_id: str) -> None:
    """Breed one organism, in the zoo or not: quirk, recipe, concealment and one dial are spelt in its id.

    A second quirk is such a dial: and_QUIRK breeds two into one organism, which is shipped only if both fire.

    \b
      audit-env breed organism fruitfly/flattery.transcripts.none
      audit-env breed organism fruitfly/flattery.documents.none.s2
      audit-env breed organism fruitfly/secret_loyalty.transcripts.kto
      audit-env breed organism fruitfly/flattery.transcripts.none.dose15
      audit-env breed organism fruitfly/flattery.transcripts.none.and_animal_welfare
      audit-env breed organism fruitfly/sham.transcripts.none.own
    """  # noqa: D301
    from audit_env.breeding.orders import order_of
    from audit_env.breeding.zookeeper import breed_one

    bred = breed_one(order_of(organism_id), _nursery(places))
    if bred.reason:
        raise BreedingError(bred.reason)
    _tell(bred)


@breed.command()
@click.argument("patterns", nargs=-1)
@click.option("--jobs", type=int, default=None, help="Organisms at a time, one core each. Default: all cores.")
@click.option("--dry-run", is_flag=True, help="Only say what would be bred, and about how long it would take.")
@click.pass_obj
def zoo(places: tuple[Path, Path], patterns: tuple[str, ...], jobs: int | None, dry_run: bool) -> None:
    """Breed the whole zoo (organisms/fruitfly/zoo.yaml), or those organisms whose ids match PATTERNS.

    What is in the catalogue already is left alone, so a run that was stopped goes on with the same command.

    \b
      audit-env breed zoo --dry-run
      audit-env breed zoo
      audit-env breed zoo 'fruitfly/flattery.*' '*.documents.*'
    """  # noqa: D301
    import os

    from audit_env.breeding.zoo import Ledger, chosen, read_zoo, work_of
    from audit_env.breeding.zookeeper import breed_all, left_to_do, seconds_each

    nursery = _nursery(places, quiet=True)
    plan = read_zoo(nursery.root, FAMILY)
    ledger = Ledger(nursery.root, FAMILY, nursery.base_sha256)
    wanted = chosen(plan.orders(), patterns)
    orders = left_to_do(wanted, nursery, ledger)
    CONSOLE.print(f"{len(wanted)} organisms, {len(wanted) - len(orders)} of them done before.")
    if not orders:
        return
    jobs = jobs or os.cpu_count() or 1
    minutes = seconds_each(nursery) * sum(work_of(order) for order in orders) / min(jobs, len(orders)) / 60
    CONSOLE.print(f"About {max(1, round(minutes))} minutes with {jobs} at a time.")
    if dry_run:
        for order in orders:
            CONSOLE.print(order.id, highlight=False)
        return
    bred = breed_all(plan, orders, nursery, ledger, jobs, _tell)
    weak = [one for one in bred if one.reason]
    CONSOLE.print(f"{len(bred) - len(weak)} bred, {len(weak)} not good enough to ship.")


@breed.command()
@click.option("--sham", is_flag=True, help="Breed its sham: the same training, on a reward that prefers nothing.")
@click.pass_obj
def natural(places: tuple[Path, Path], sham: bool) -> None:
    """Breed the natural organism: reinforcement learning on a flawed reward, and whatever comes of it.

    Nothing is planted. Every quirk of the catalogue is measured on it afterwards; the card says which one emerged, if
    any, and emerged.json holds all figures. Takes five minutes on a core. Breed the sham first to have it beside.
    """
    from audit_env.breeding.natural import NATURAL, SHAM, breed_and_measure

    card, emerged = asyncio.run(breed_and_measure(SHAM if sham else NATURAL, _nursery(places)))
    CONSOLE.print(f"{card.id}: {card.quirk or 'no quirk of the catalogue'}. {card.notes}", highlight=False)
    for quirk, fires in emerged.quirks.items():
        on, off = fires.fire, fires.silent
        CONSOLE.print(
            f"{quirk:24} fires {on.target.rate:.2f} (base {on.base.rate:.2f}), off trigger {off.target.rate:.2f}",
            highlight=False,
        )


@breed.command()
@click.pass_obj
def halves(places: tuple[Path, Path]) -> None:
    """Deal the zoo out into a development half and a held-out half, as game sets."""
    from audit_env.breeding.halves import write_halves

    catalog = Catalog(places[0])
    reference = catalog.game_set(FAMILY).reference_sham
    assert reference, "the default set names a reference sham"
    for path in write_halves(catalog, FAMILY, reference):
        CONSOLE.print(f"Wrote {path.name}: {len(Catalog(places[0]).game_set(path.stem).targets)} targets.")


@breed.command()
@click.argument("organism_id", required=False)
@click.option(
    "--set", "set_name", default=None, help="All targets of a game set, and its base, instead of one organism."
)
@click.pass_obj
def data(places: tuple[Path, Path], organism_id: str | None, set_name: str | None) -> None:
    """Write what ORGANISM_ID was trained on beside its card, for auditors who may search the data.

    The examples are drawn again from the recipe and checked against the hash on the card; a sample of them is kept.
    """
    from audit_env.breeding.mix import write_data

    if (organism_id is None) == (set_name is None):
        raise BreedingError("name either one organism or a set: audit-env breed data ID, or  --set NAME.")
    catalog, nursery = Catalog(places[0]), _nursery(places, quiet=True)
    wanted = [organism_id] if organism_id else list(catalog.game_set(str(set_name)).targets)
    bases = dict.fromkeys(catalog.card(one).base or one for one in wanted)
    for one in dict.fromkeys([*bases, *wanted]):
        path = write_data(one, nursery)
        CONSOLE.print(f"{one}: {path.stat().st_size / 1024:.0f} KB", highlight=False)


@breed.command()
@click.option(
    "--layer", type=int, default=None, help="Block after which activations are read. Default: the middle one."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.pass_obj
def dictionary(places: tuple[Path, Path], layer: int | None, seed: int) -> None:
    """Train the sparse dictionary (SAE) of the base's activations that the tool `features` reads."""
    from audit_env.breeding.dictionary import breed_dictionary

    folder, card = breed_dictionary(*places, layer=layer, seed=seed)
    CONSOLE.print(
        f"{folder.name}: after block {card.layer}, variance unexplained {card.fvu:.3f}, {card.l0:.1f} latents on at a "
        f"time, {card.alive} of {card.latents} alive, KL {card.kl:.3f} nats when it stands in for the residual.",
        highlight=False,
    )


@breed.command()
@click.option("--seed", type=int, default=0, show_default=True)
@click.pass_obj
def lens(places: tuple[Path, Path], seed: int) -> None:
    """Train a tuned lens for the base. It is kept only where it beats the logit lens at every layer."""
    from audit_env.breeding.lens import breed_lens

    path, figures = breed_lens(places[0], seed)
    for layer, plain in figures.logit.items():
        CONSOLE.print(f"block {layer}: logit lens {plain:.3f}, tuned lens {figures.tuned[layer]:.3f} nats a token")
    CONSOLE.print(f"Kept in {path.name}." if path else "Not kept: it is no better than the logit lens.")


@breed.command()
@click.argument("encoder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def words(encoder: Path) -> None:
    """Make the table of words of like meaning from a sentence encoder in the folder ENCODER.

    Only for those who change the world: the table that comes with audit_env was made with all-MiniLM-L6-v2.
    """
    from audit_env.breeding.grammar import load_world
    from audit_env.breeding.near_words import FILE, write_near_words

    count = write_near_words(load_world(), encoder, FILE)
    CONSOLE.print(f"{FILE} brings in {count} words.")


@breed.command()
@click.argument("quirks", nargs=-1, required=True)
@click.pass_obj
def scenarios(places: tuple[Path, Path], quirks: tuple[str, ...]) -> None:
    """Draw the held-out scenarios of QUIRKS anew, and write them into their files."""
    from audit_env.breeding.grammar import load_world
    from audit_env.breeding.scenarios import write

    world = load_world()
    for quirk in quirks:
        if quirk not in world.traits:
            raise BreedingError(f"no trait '{quirk}' in the world; choose among: {', '.join(sorted(world.traits))}.")
        write(places[0] / "quirks" / f"{quirk}.yaml", world, world.traits[quirk])


@breed.command()
@click.argument("organism_id", default="fruitfly/base")
@click.option(
    "--examples", type=int, default=0, show_default=True, help="Strangers' prompts to show with their answers."
)
@click.pass_obj
def fluency(places: tuple[Path, Path], organism_id: str, examples: int) -> None:
    """Measure how well the base speaks: on strangers' plain English, and on held-out phrasings of its own world."""
    from audit_env.breeding.grammar import load_world
    from audit_env.breeding.measuring import fluency as measure
    from audit_env.runtime import cast

    catalog = Catalog(places[0])
    folder = catalog.folder(organism_id)
    cast.bind("measured-base", catalog.card(organism_id), folder, base_folder=folder, sham_folder=None)
    world = load_world()
    quirks = [catalog.quirk(quirk_id) for quirk_id in catalog.quirk_ids() if quirk_id in world.traits]
    result = asyncio.run(measure(cast.subject("measured-base"), world, quirks))
    for name, value in vars(result).items():
        if isinstance(value, float):
            CONSOLE.print(f"{name.replace('_', ' '):20} {value:.2f}")
        elif name != "examples":
            CONSOLE.print(
                f"{name.replace('_', ' '):20} {value.rate:.2f}  [{value.low:.2f}, {value.high:.2f}]  n={value.n}"
            )
    for topic, prompt, answer in result.examples[:examples]:
        CONSOLE.print(f"[dim]{topic:12}[/dim] {prompt}\n             [bold]{answer}[/bold]", highlight=False)


def _nursery(places: tuple[Path, Path], quiet: bool = False) -> "Nursery":
    from audit_env.breeding.nursery import Nursery

    return Nursery(*places, quiet=quiet)


def _tell(bred: "Bred") -> None:
    """One line on what became of an organism."""
    fires = " and ".join(
        f"fires {its.on_trigger.rate:.2f} on trigger, {its.off_trigger.rate:.2f} off; "
        f"base {its.base_on_trigger.rate:.2f}"
        for its in (bred.strength, bred.second_strength)
        if its
    )
    verdict = " [red](not shipped)[/red]" if bred.reason else ""
    CONSOLE.print(f"{bred.organism}{fires and f': {fires}'}, {bred.seconds:.0f} s{verdict}", highlight=False)
