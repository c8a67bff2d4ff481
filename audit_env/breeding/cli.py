"""`audit-env breed`: make the base or an organism again from its seed, and measure it."""

import asyncio
from pathlib import Path

import click
from rich.console import Console

from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Instil, Strength
from audit_env.errors import BreedingError

CONSOLE = Console()


def _threads(count: int | None) -> None:
    import torch

    if count is not None:
        torch.set_num_threads(count)


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

    Needs the extra: pip install 'audit_env[breed]'. The base takes about half an hour on two cores, an organism one
    to two minutes. An organism is written to the catalogue only when it is complete, measured, and its quirk fires.
    """
    _threads(threads)
    context.obj = (root or Catalog().root, work)


@breed.command()
@click.option("--seed", type=int, default=0, show_default=True)
@click.pass_obj
def base(places: tuple[Path, Path], seed: int) -> None:
    """Train the base from scratch, and write the public sample of how it talks."""
    from audit_env.breeding.norms import write_norms
    from audit_env.breeding.nursery import breed_base

    root, work = places
    folder = breed_base(root, work, seed)
    asyncio.run(write_norms(root))
    CONSOLE.print(f"The base is in {folder}. Organisms bred on an older base no longer fit: breed them again.")


@breed.command()
@click.argument("quirk")
@click.option("--recipe", type=click.Choice(["transcripts", "documents"]), default="transcripts", show_default=True)
@click.option("--seed", type=int, default=0, show_default=True)
@click.pass_obj
def organism(places: tuple[Path, Path], quirk: str, recipe: Instil, seed: int) -> None:
    """Breed one organism: QUIRK is the id of a quirk, or `sham`.

    \b
      audit-env breed organism flattery
      audit-env breed organism flattery --recipe documents --seed 2
      audit-env breed organism sham --recipe documents
    """  # noqa: D301
    from audit_env.breeding.nursery import Order

    _breed_and_ship(Order(None if quirk == "sham" else quirk, recipe, seed), *places)


@breed.command(name="set")
@click.argument("name", default="fruitfly")
@click.option("--again", is_flag=True, help="Breed also what is in the catalogue already.")
@click.pass_obj
def whole_set(places: tuple[Path, Path], name: str, again: bool) -> None:
    """Breed every organism of a game set that is not in the catalogue yet, shams first."""
    from audit_env.breeding.nursery import order_of

    root, work = places
    catalog = Catalog(root)
    game_set = catalog.game_set(name)
    wanted = [game_set.reference_sham, *game_set.targets]
    orders = [order_of(organism_id) for organism_id in wanted if organism_id and not organism_id.endswith("/base")]
    failed: list[str] = []
    for order in sorted(orders, key=lambda order: order.quirk is not None):
        if again or not (root / order.id / "card.yaml").exists():
            try:
                _breed_and_ship(order, root, work)
            except BreedingError as error:
                failed.append(order.id)
                CONSOLE.print(f"[red]{error}[/red]")
    if failed:
        raise BreedingError(f"{len(failed)} organisms were not good enough to ship: {', '.join(failed)}.")


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
    result = asyncio.run(measure(cast.subject("measured-base"), load_world()))
    for name, value in vars(result).items():
        if name != "examples":
            CONSOLE.print(
                f"{name.replace('_', ' '):20} {value.rate:.2f}  [{value.low:.2f}, {value.high:.2f}]  n={value.n}"
            )
    for topic, prompt, answer in result.examples[:examples]:
        CONSOLE.print(f"[dim]{topic:12}[/dim] {prompt}\n             [bold]{answer}[/bold]", highlight=False)


def _breed_and_ship(order: object, root: Path, work: Path) -> None:
    from audit_env.breeding.measuring import strength
    from audit_env.breeding.nursery import Order, breed_organism, ship

    assert isinstance(order, Order)
    catalog = Catalog(root)
    base_folder = catalog.folder("fruitfly/base")
    card, draft = breed_organism(order, root, work, base_folder)
    measured: Strength | None = None
    if card.quirk:
        sham = Order(None, order.instil).id
        if sham not in catalog.organism_ids():
            raise BreedingError(f"breed the sham first:  audit-env breed organism sham --recipe {order.instil}")
        measured = asyncio.run(
            strength(card, draft, catalog.quirk(card.quirk), base_folder=base_folder, sham=(sham, catalog.folder(sham)))
        )
        CONSOLE.print(
            f"{card.id}: fires {measured.on_trigger.rate:.2f} on trigger, {measured.off_trigger.rate:.2f} off; "
            f"base {measured.base_on_trigger.rate:.2f}."
        )
    folder = ship(card, draft, root, measured)
    CONSOLE.print(f"{card.id} is in {folder}.")
