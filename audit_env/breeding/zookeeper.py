"""Breeding a whole zoo on a few cores: one organism a worker, what others are made from first."""

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import groupby
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from audit_env.breeding.nursery import Nursery, breed_organism, ship
from audit_env.breeding.orders import SHAM, Order, order_of
from audit_env.breeding.zoo import Bred, Ledger, Zoo, stage_of, work_of
from audit_env.catalog.files import Catalog
from audit_env.catalog.models import Card
from audit_env.catalog.phenotype import Phenotype
from audit_env.errors import BreedingError
from audit_env.runtime.forwarding.process import VARIABLE as ENGINE_PROCESS_VARIABLE


def breed_one(order: Order, nursery: Nursery, weak: bool = False) -> Bred:
    """Breed an organism, measure it, and ship it if it is good enough.

    Of two quirks both must fire. The card holds what was measured of both, the sheet beside it is the first one's.

    Args:
        order: What to breed.
        nursery: Where.
        weak: Whether to ship it also where its quirk hardly fires.

    Returns:
        What became of it.
    """
    from audit_env.phenotype import firing, sheet

    started = time.monotonic()
    card, draft = breed_organism(order, nursery)
    sheets = asyncio.run(_measured(order, card, draft, nursery))
    strength, second_strength, *_ = [*map(firing.strength, sheets), None, None]
    reason = None
    try:
        ship(card, draft, nursery.root, strength, weak, second_strength)
    except BreedingError as error:
        reason = str(error)
    else:
        if sheets:
            sheet.write(Catalog(nursery.root), sheets[0])
    return Bred(order.id, time.monotonic() - started, strength, reason, second_strength)


async def _measured(order: Order, card: Card, draft: Path, nursery: Nursery) -> list[Phenotype]:
    """A sheet for each quirk of a draft, with the sham of its recipe beside it."""
    from audit_env.breeding.measuring import phenotype

    if not card.quirks:
        return []
    catalog, sham = Catalog(nursery.root), sham_of(order, nursery)
    beside = catalog.card(sham.id), nursery.folder(sham)
    return [
        await phenotype(card, draft, catalog.quirk(quirk), base_folder=nursery.base_folder, sham=beside)
        for quirk in card.quirks
    ]


def sham_of(order: Order, nursery: Nursery) -> Order:
    """The sham of an order's recipe and concealment.

    Raises:
        BreedingError: If it is not bred yet on this base.
    """
    sham = order_of(f"{order.id.partition('/')[0]}/{SHAM}.{order.instil}.{order.conceal}")
    if nursery.shipped(sham) is None:
        raise BreedingError(f"breed the sham of its recipe first:  audit-env breed organism {sham.id}")
    return sham


def left_to_do(orders: Sequence[Order], nursery: Nursery, ledger: Ledger) -> list[Order]:
    """The orders that are neither in the catalogue on the present base nor known to be not good enough."""
    failed = ledger.read()
    return [order for order in orders if nursery.shipped(order) is None and order.id not in failed]


def breed_all(
    zoo: Zoo, orders: Sequence[Order], nursery: Nursery, ledger: Ledger, jobs: int, tell: Callable[[Bred], None]
) -> list[Bred]:
    """Breed organisms side by side, each on one core.

    What was done stays done, wherever the run is stopped: finished organisms lie in the catalogue, half-trained ones
    go on from their last checkpoint.

    Args:
        zoo: Says which may be weak.
        orders: What to breed.
        nursery: Where.
        ledger: Takes down those that are not good enough.
        jobs: How many at a time.
        tell: Called with every organism that is done.

    Returns:
        What became of each, in the order in which they were done.
    """
    weak, done = zoo.weak(), []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    context = multiprocessing.get_context("spawn")  # torch does not survive a fork of its threads
    with (
        Progress(*columns, TimeRemainingColumn()) as progress,
        ProcessPoolExecutor(jobs, mp_context=context, initializer=_one_thread) as pool,
    ):
        bar = progress.add_task("organisms", total=len(orders))
        for _, group in groupby(sorted(orders, key=stage_of), key=stage_of):
            waiting: set[Future[Bred]] = {
                pool.submit(breed_one, order, nursery, order.id in weak)
                for order in sorted(group, key=work_of, reverse=True)
            }
            try:
                while waiting:
                    finished, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in finished:
                        bred = future.result()
                        ledger.note(bred)
                        done.append(bred)
                        progress.update(bar, advance=1)
                        tell(bred)
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    return done


def _one_thread() -> None:
    import os

    os.environ["AUDIT_ENV_THREADS"] = "1"
    os.environ[ENGINE_PROCESS_VARIABLE] = "here"  # which trains, and has torch loaded anyway
    import torch

    torch.set_num_threads(1)


def seconds_each(nursery: Nursery, sample_steps: int = 3) -> float:
    """About how long an organism takes on one core of this machine, from a few steps of its training.

    Args:
        nursery: Where the base lies.
        sample_steps: How many steps to time.
    """
    import tempfile
    from dataclasses import replace

    from audit_env.breeding.training import ORGANISM_PLAN

    _one_thread()
    plan = replace(ORGANISM_PLAN, steps=sample_steps)
    with tempfile.TemporaryDirectory() as scratch:
        elsewhere = replace(nursery, work=Path(scratch), quiet=True)
        started = time.monotonic()
        breed_organism(Order(None, "transcripts"), elsewhere, replace(plan, steps=1))
        start_up = time.monotonic() - started
        started = time.monotonic()
        breed_organism(Order(None, "transcripts"), elsewhere, plan)
        step = max(0.0, time.monotonic() - started - start_up) / (sample_steps - 1)
    return start_up + step * ORGANISM_PLAN.steps + MEASURING * step


MEASURING = 20
"""Measuring an organism takes about as long as so many steps of its training."""
