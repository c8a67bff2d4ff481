"""`organisms verify`: files as the cards say, and behaviour as the sheets say.

Figures are taken again on some of the scenarios that they were measured on, with the same seeds, and hold if the two
counts could come from one and the same rate (Fisher's exact test). Under the very same code and machine every single
answer comes out again, so on all scenarios (`exact`) the counts must be equal.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

from rich.console import Console
from rich.text import Text

from audit_env.catalog.files import MEASURE, Catalog
from audit_env.catalog.models import Card, Rate, Sha256, Strict
from audit_env.catalog.phenotype import Conditions, Phenotype, Split, made_of
from audit_env.catalog.public import read_zoo, zoo_ids
from audit_env.commands.organisms.figures import SPLITS, recorded
from audit_env.commands.output import table
from audit_env.errors import AuditEnvError, MissingExtraError
from audit_env.runtime.subject import SIDES, Side
from audit_env.stats import fisher_exact

ALPHA = 0.001
"""A figure is refuted where chance alone gave so different counts in fewer than one of a thousand checks. That is for
answers drawn anew; the same scenarios and seeds give nearly the same answers, and false alarms are far rarer."""

UNMEASURED = "no figures on record"


class Compared(Strict):
    """A figure on record, and the same taken again."""

    split: Split
    side: Side
    on_record: Rate
    again: Rate
    p_value: float
    """Of both being one rate, every scenario counted once, since its answers to several seeds are not independent."""
    agrees: bool


class Verified(Strict):
    """An organism, as `verify --json` prints it under "organisms"."""

    id: str
    sound: bool
    """Whether nothing was found wrong."""
    reasons: tuple[str, ...]
    """What was found wrong, a sentence each."""
    made_of: Sha256 | None
    """Hash of its weights, or of the hidden prompt and base of a prompted organism. None where the card is bad."""
    compared: tuple[Compared, ...]
    not_measured: str | None
    """Why no figures were taken again, where none were."""


def organism(catalog: Catalog, organism_id: str, *, sample: int, exact: bool) -> Verified:
    """Verify an organism.

    Args:
        catalog: Where it is.
        organism_id: The organism.
        sample: Scenarios of each kind to take the figures again on; 0 to look at files alone.
        exact: Take the figures on all scenarios, and ask for the same counts.

    Returns:
        What was found.

    Raises:
        MissingExtraError: Figures are to be taken, and torch is not installed.
    """
    try:
        card = catalog.card(organism_id)
        catalog.check(organism_id)
        sheet = catalog.phenotype(organism_id)
        why_not = _why_not_measured(card, sheet, sample, exact)
        compared = () if why_not else _compare(catalog, card, sheet, None if exact else sample)
    except MissingExtraError:
        raise
    except AuditEnvError as error:
        return Verified(
            id=organism_id, sound=False, reasons=(str(error),), made_of=None, compared=(), not_measured=str(error)
        )
    reasons = _refuted(card, compared)
    if exact and compared:
        reasons += _not_the_same(card, sheet, compared)
    return Verified(
        id=organism_id,
        sound=not reasons,
        reasons=tuple(reasons),
        made_of=made_of(card),
        compared=compared,
        not_measured=why_not,
    )


def catalogue(catalog: Catalog) -> list[str]:
    """What is wrong with the files that no single organism answers for: menu, quirks, families, sets, public zoos."""
    families = {organism_id.partition("/")[0] for organism_id in catalog.organism_ids()}
    readers: list[Callable[[], object]] = [
        catalog.menu,
        *(partial(catalog.quirk, quirk) for quirk in catalog.quirk_ids()),
        *(partial(catalog.norms, family) for family in sorted(families)),
        *(partial(catalog.game_set, name) for name in catalog.set_names()),
        *(partial(read_zoo, catalog, zoo) for zoo in zoo_ids(catalog)),
    ]
    faults: list[str] = []
    for read in readers:
        try:
            read()
        except AuditEnvError as error:
            faults.append(str(error))
    return list(dict.fromkeys(faults))


def draw(rows: Sequence[Verified], console: Console) -> None:
    """Print what was found."""
    drawn = table("Organism", "Sound", *(name.removeprefix("fires ").capitalize() for name in SPLITS.values()))
    for row in rows:
        verdict = Text("yes", style="green") if row.sound else Text("NO", style="red")
        note = "" if row.not_measured is None or not row.sound else f"\n{row.not_measured}"
        cells = [_then_and_now(row.compared, split) for split in SPLITS]
        drawn.add_row(Text.assemble((row.id, "bold"), (note, "dim")), verdict, *cells)
    console.print(drawn)
    if any(row.compared for row in rows):
        note = "Share of scenarios in which the quirk shows: on record, and taken again on n answers."
        console.print(Text(note, style="dim"))
    if any(row.not_measured == UNMEASURED for row in rows):
        console.print(Text(f"To put figures on record, run  {MEASURE.format('ID')}", style="dim"), soft_wrap=True)


def _then_and_now(compared: Sequence[Compared], split: Split) -> Text:
    for each in compared:
        if (each.split, each.side) == (split, "target"):
            style = "" if each.agrees else "red"
            return Text(f"{each.on_record.rate:.2f} {each.again.rate:.2f}\nn={each.again.n}", style=style)
    return Text("")


def _why_not_measured(card: Card, sheet: Phenotype | None, sample: int, exact: bool) -> str | None:
    if card.quirk is None:
        return "no quirk to measure"
    if not sample and not exact:
        return "files alone were asked for"
    if not recorded(card, sheet).fires:
        return UNMEASURED
    if card.plays is not None:
        return "played by a model of your choice, which is not called here"
    if sheet and sheet.firing and sheet.firing.conditions.grader:
        return f"judged by a grader, '{sheet.firing.conditions.grader}', which is not called here"
    return None


def _compare(catalog: Catalog, card: Card, sheet: Phenotype | None, sample: int | None) -> tuple[Compared, ...]:
    """Take the figures again, on `sample` scenarios of each kind or on all, and hold them beside those on record."""
    from audit_env.phenotype import bench, firing
    from audit_env.phenotype.answering import Answered, answer
    from audit_env.phenotype.conditions import conditions

    on_bench = bench.shelved(catalog, card.id)
    as_then = sheet.firing.conditions if sheet and sheet.firing else conditions()

    async def answers(split: Split) -> list[Answered]:
        all_of_it = firing.scenarios(on_bench.quirk, split)
        places = _spread(len(all_of_it), sample)
        talks = [all_of_it[place].messages for place in places]
        return await answer(on_bench.subject, split, talks, on_bench.sides, as_then, places=places) if talks else []

    async def gather() -> list[Answered]:
        return [each for split in SPLITS for each in await answers(split)]

    again = firing.judge(on_bench.quirk, asyncio.run(gather()), as_then)
    assert again is not None  # target and base answered, and no quirk lacks scenarios to fire and to be silent in
    sham = sheet.sham if sheet else card.strength.sham if card.strength else None
    sides = SIDES if sham == on_bench.sham else SIDES[:2]
    return tuple(
        _compared(split, side, then, now, len(firing.scenarios(on_bench.quirk, split)), sample)
        for split, on_record in recorded(card, sheet).fires.items()
        for side in sides
        if (then := getattr(on_record, side)) and (now := getattr(getattr(again, split), side, None))
    )


def _spread(count: int, sample: int | None) -> list[int]:
    """Places of a sample, evenly spread over a list."""
    if sample is None or sample >= count:
        return list(range(count))
    return [place * count // sample for place in range(sample)]


def _compared(split: Split, side: Side, then: Rate, now: Rate, scenarios: int, sample: int | None) -> Compared:
    p_value = fisher_exact(*_counts(then, scenarios), *_counts(now, min(scenarios, sample or scenarios)))
    return Compared(split=split, side=side, on_record=then, again=now, p_value=p_value, agrees=p_value >= ALPHA)


def _counts(rate: Rate, scenarios: int) -> tuple[int, int]:
    """Hits and observations, a scenario's answers to several seeds taken for one."""
    n = min(rate.n, scenarios)
    return round(rate.rate * n), n


def _refuted(card: Card, compared: Sequence[Compared]) -> list[str]:
    return [
        f"{card.id}: its sheet says that the {_whose(each.side)} {SPLITS[each.split]} at {each.on_record.rate:.2f} "
        f"(n={each.on_record.n}), but it does at {each.again.rate:.2f} (n={each.again.n}), which chance does not "
        f"explain (p = {each.p_value:.1g}); run  {MEASURE.format(card.id)}"
        for each in compared
        if not each.agrees
    ]


def _not_the_same(card: Card, sheet: Phenotype | None, compared: Sequence[Compared]) -> list[str]:
    """Why the counts are not reproduced, if they are not."""
    from audit_env.phenotype.conditions import code_version

    then = sheet.firing.conditions if sheet and sheet.firing else None
    if then is None or then.code != code_version():
        return [
            f"{card.id}: measured by {_by(then)}, and this is audit_env {code_version()}, so that nothing says "
            f"whether the same counts come out; run  {MEASURE.format(card.id)}"
        ]
    off = [each for each in compared if (each.on_record.rate, each.on_record.n) != (each.again.rate, each.again.n)]
    return [
        f"{card.id}: the {_whose(each.side)} {SPLITS[each.split]} at {each.again.rate:.4f} (n={each.again.n}) and not "
        f"at {each.on_record.rate:.4f} (n={each.on_record.n}) as its sheet says; on another machine this is rounding, "
        "on the one that measured it a change that nobody recorded."
        for each in off
    ]


def _by(then: Conditions | None) -> str:
    return f"audit_env {then.code}" if then else "a version of audit_env that it does not name"


def _whose(side: Side) -> str:
    return "organism" if side == "target" else side
