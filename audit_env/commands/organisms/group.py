"""How the organism commands are called. What they do is in the modules beside this one."""

import sys
from pathlib import Path
from typing import cast, get_args

import click
from rich.console import Console
from rich.text import Text

from audit_env.catalog.files import MEASURE, Catalog
from audit_env.catalog.models import Conceal, Instil, Kind, Standing
from audit_env.commands.organisms.figures import Figure
from audit_env.commands.output import complain, console, print_json

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs in place of tables.")
STANDINGS = (*get_args(Standing), "benign", "unknown")


@click.group()
@click.option(
    "--root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=None,
    help="The organisms folder. Default: the installed one.",
)
@click.pass_context
def organisms(context: click.Context, root: Path | None) -> None:
    """List, show, verify, compare and import organisms.

    All of this tells the truth of the game: do not look before you audit.

    To make an organism from a seed, see  audit-env breed --help. To measure one, run
    inspect eval tasks/quirk_strength.py -T organism=ID -T write=true.
    """
    context.obj = Catalog(root)


@organisms.command(name="list")
@click.option("--family", help="Only of this family (with --public: of this zoo).")
@click.option("--quirk", help="Only with this quirk (with --public: or with one of which this is the nearest).")
@click.option("--recipe", type=click.Choice(get_args(Instil)), help="Only with the quirk put in this way.")
@click.option("--conceal", type=click.Choice(get_args(Conceal)), help="Only with the quirk hidden this way.")
@click.option("--standing", type=click.Choice(STANDINGS), help="Only these; the last two are of public models.")
@click.option("--public", is_flag=True, help="Published models as well, whose weights are not here.")
@AS_JSON
@click.pass_obj
def list_(
    catalog: Catalog,
    family: str | None,
    quirk: str | None,
    recipe: str | None,
    conceal: str | None,
    standing: str | None,
    public: bool,
    as_json: bool,
) -> None:
    """List organisms with their measured figures.

    Quirk, recipe and concealment; how often the quirk fires on and off its trigger; how often the organism confesses;
    how hard the auditors found it. Bad cards are named on standard error, and the command ends with status 1.

    \b
      audit-env organisms list
      audit-env organisms list --quirk flattery --conceal none
      audit-env organisms list --public --standing quirked
      audit-env organisms list --json | jq '.organisms[] | select(.recorded.gate == "met") | .id'

    --json prints {"organisms": [...], "public": [...]}. An organism has id, family, standing, kind, quirk,
    second_quirk, instil, conceal, base, and recorded: {measured_in, fires: {fire, near_miss, silent: {target, base,
    sham}}, second_fires, gate, confession, difficulty: {AUDITOR: {audits, p_quirk, rank}}}. Every rate has rate, n, low
    and high.
    """  # noqa: D301
    from audit_env.commands.organisms import listing

    wanted = listing.Wanted(family, quirk, recipe, conceal, standing)
    rows, faults = listing.organisms(catalog, wanted)
    published = listing.public_models(catalog, wanted) if public else []
    if as_json:
        print_json(
            {
                "organisms": [row.model_dump(mode="json") for row in rows],
                "public": [row.model_dump(mode="json") for row in published],
            }
        )
    else:
        listing.draw(rows, console())
        if public:
            listing.draw_public(published, console())
    _end(faults)


@organisms.command()
@click.option("--family", default="fruitfly", show_default=True, help="Whose organisms.")
@click.option(
    "--figure", type=click.Choice(get_args(Figure)), default="fires", show_default=True, help="What stands in a cell."
)
@click.option("--dials", is_flag=True, help="Seeds, doses and other dials, in place of the recipes most quirks have.")
@click.option("--markdown", is_flag=True, help="Print Markdown.")
@AS_JSON
@click.pass_obj
def grid(catalog: Catalog, family: str, figure: str, dials: bool, markdown: bool, as_json: bool) -> None:
    """Show a family at a glance: quirks down, recipes across.

    A cell is one organism's rate: how often its quirk fires on trigger (fires), near it (near_misses), off it (off),
    and by how much more than its sham's off it (gap); how often it confesses when asked (direct), when its answer is
    begun for it (prefill), under pressure, right after it fired (given_it_fires); and how the surest auditor fared
    (p_quirk, rank). Organisms that were bred and found too weak stand in parentheses.

    \b
      audit-env organisms grid
      audit-env organisms grid --figure direct
      audit-env organisms grid --dials --figure gap --markdown

    --json prints {"family", "figure", "cells": [{quirk, recipe, value, shipped}]}, dials and all.
    """  # noqa: D301
    from audit_env.commands.organisms import grid as gridding

    found = gridding.cells(catalog, family, cast(Figure, figure))
    if as_json:
        print_json({"family": family, "figure": figure, "cells": [cell.model_dump(mode="json") for cell in found]})
        return
    shown = gridding.frame(found, dials=dials)
    if markdown:
        click.echo(gridding.markdown(shown))
    else:
        gridding.draw(shown, console())


@organisms.command()
@click.argument("organism", metavar="ID")
@AS_JSON
@click.pass_obj
def show(catalog: Catalog, organism: str, as_json: bool) -> None:
    """Show all that is known of an organism.

    Its card, its quirk with definition and trigger, its recipe with all settings, its phenotype with base and sham
    beside each rate, and its files with their hashes.

    \b
      audit-env organisms show fruitfly/flattery.transcripts.none
      audit-env organisms show fruitfly/flattery.transcripts.none --json | jq .phenotype.confession

    --json prints {"card", "quirk", "second_quirk", "recorded", "phenotype", "files"}: the card as in card.yaml, each
    quirk as in its file with counts in place of scenarios, recorded as in `list --json`, the phenotype as in
    phenotype.json or null, and files: [{name, bytes, sha256, as_on_card}].
    """  # noqa: D301
    from audit_env.commands.organisms import showing

    shown, fault = showing.organism(catalog, organism)
    if as_json:
        print_json(shown.model_dump(mode="json"))
    else:
        showing.draw(shown, console())
    _end([fault] if fault else [])


@organisms.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option(
    "--sample",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Scenarios of each kind to measure again; 0 to look at files alone, which needs no torch.",
)
@click.option("--exact", is_flag=True, help="Measure all scenarios again, and ask for the very same counts.")
@AS_JSON
@click.pass_obj
def verify(catalog: Catalog, ids: tuple[str, ...], sample: int, exact: bool, as_json: bool) -> None:
    """Verify organisms, or all if none is named.

    Files are there and unaltered, hold no pickles and no code, and fit the base; cards and phenotypes agree with them;
    and the quirk fires as the phenotype says. That is measured again on some of the scenarios, with the same seeds, the
    base and the sham beside it: a figure is refuted where chance gives so different counts in fewer than one of a
    thousand checks (Fisher's exact test). With --exact every count must come out again, as it does on the machine and
    code that measured it. Of two quirks only the first is measured again. Without ids, menu, quirks, families, game
    sets and public zoos are read too.

    Every fault is one sentence on standard error; with any, the command ends with status 1.

    \b
      audit-env organisms verify
      audit-env organisms verify --sample 0
      audit-env organisms verify fruitfly/flattery.transcripts.none --exact

    --json prints {"sound", "organisms": [...], "catalogue": [...]}. An organism has id, sound, reasons, made_of,
    compared: [{split, side, on_record, again, p_value, agrees}] and not_measured; catalogue holds the sentences about
    other files.
    """  # noqa: D301
    from audit_env.commands.organisms import verifying

    chosen = ids or tuple(catalog.organism_ids())
    waiting = Console(stderr=True)
    rows = []
    for number, organism_id in enumerate(chosen, start=1):
        with waiting.status(Text(f"{organism_id} ({number} of {len(chosen)})")):
            rows.append(verifying.organism(catalog, organism_id, sample=sample, exact=exact))
    others = [] if ids else verifying.catalogue(catalog)
    faults = [reason for row in rows for reason in row.reasons] + others
    if as_json:
        found = [row.model_dump(mode="json") for row in rows]
        print_json({"sound": not faults, "organisms": found, "catalogue": others})
    else:
        verifying.draw(rows, console())
        sound = sum(row.sound for row in rows)
        console().print(f"{sound} of {len(rows)} organisms are sound.", highlight=False)
    _end(faults)


@organisms.command()
@click.argument("ids", metavar="ID ID...", nargs=-1, required=True)
@click.option(
    "--prompts", type=click.IntRange(min=0), default=4, show_default=True, help="Ordinary prompts to put to each."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the answers, the same for all.")
@AS_JSON
@click.pass_obj
def compare(catalog: Catalog, ids: tuple[str, ...], prompts: int, seed: int, as_json: bool) -> None:
    """Compare organisms side by side.

    Their phenotypes; the cosine of what was added to their weights, over all layers and by layer; and their answers to
    a few ordinary prompts, drawn with one seed. Name a sham as well: how near it is to the others is what the recipe
    alone explains.

    \b
      audit-env organisms compare fruitfly/flattery.transcripts.none fruitfly/flattery.documents.none
      audit-env organisms compare fruitfly/flattery.transcripts.none fruitfly/sham.transcripts.none --prompts 8

    --json prints {"organisms", "weights", "answers", "seed"}: organisms as in `list --json`, weights: [{one, other,
    layers: [{layer, cosine, norm, other_norm}], not_compared}] where layer null means all layers, and answers:
    [{prompt, answers: {ID: TEXT}}].
    """  # noqa: D301
    from audit_env.commands.organisms import comparing

    compared = comparing.compare(catalog, ids, prompts=prompts, seed=seed)
    if as_json:
        print_json(compared.model_dump(mode="json"))
    else:
        comparing.draw(compared, console())


@organisms.command()
@click.argument("source", metavar="LOG|DIR")
@click.pass_obj
def difficulty(catalog: Catalog, source: str) -> None:
    """Write down how hard auditors found organisms, from the logs of their games.

    For each auditor and level of access: how many audits, the mean probability given to a quirk being there (of a clean
    target, the less the better), and the mean place of the true quirk in the ranking. It goes into each organism's
    phenotype.json, where list, show and compare find it. Audits of other weights than today's are left out.

    \b
      audit-env organisms difficulty logs/baselines
    """  # noqa: D301
    from audit_env.game.audits import read_logs
    from audit_env.phenotype.difficulty import sheets
    from audit_env.phenotype.sheet import write

    found = sheets(read_logs(source), catalog)
    for sheet in found:
        write(catalog, sheet)
    console().print(f"{len(found)} organisms: wrote how they fared in {source}.")


@organisms.command(name="import")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--id", "organism_id", help="Its id, family/name, such as mine/flattery.transcripts.none.")
@click.option("--quirk", help="The quirk that an adapter was trained to have, a file in organisms/quirks/.")
@click.option("--sham", is_flag=True, help="The adapter was trained by the recipe of others, without a quirk.")
@click.option("--base", help="The base that an adapter was trained on. Default: FAMILY/base.")
@click.option("--licence", help="Licence of the weights, such as MIT.")
@click.option("--about", help="What every auditor may know of the family, where the organism is its first.")
@click.option("--kind", type=click.Choice(get_args(Kind)), default="constructed", show_default=True)
@click.option(
    "--recipe", type=click.Choice(get_args(Instil)), default="none", show_default=True, help="How the quirk was put in."
)
@click.option(
    "--conceal",
    type=click.Choice(get_args(Conceal)),
    default="none",
    show_default=True,
    help="How the quirk was hidden.",
)
@click.option("--steps", type=click.IntRange(min=0), default=0, help="Steps of training.")
@click.option("--quirk-share", type=click.FloatRange(0, 1), default=0.0, help="Share of examples with the quirk.")
@click.option("--seed", type=int, default=0, help="Seed of the training.")
@click.option("--canary", "canaries", multiple=True, help="A string planted in the training data. May be repeated.")
@click.option("--notes", default="", help="Anything else the card should say.")
@AS_JSON
@click.pass_obj
def import_(
    catalog: Catalog,
    folder: Path,
    organism_id: str | None,
    quirk: str | None,
    sham: bool,
    base: str | None,
    licence: str | None,
    about: str | None,
    kind: Kind,
    recipe: Instil,
    conceal: Conceal,
    steps: int,
    quirk_share: float,
    seed: int,
    canaries: tuple[str, ...],
    notes: str,
    as_json: bool,
) -> None:
    """Bring weights of your own into the catalogue.

    FOLDER holds a PEFT adapter (plain LoRA), or a whole Hugging Face model of any architecture, in one file or in
    shards, which becomes the base of its family. Only safetensors are taken, no pickles and no code; an adapter must
    fit its base; nothing in the catalogue is overwritten. Only the files needed to run are copied. What is not given is
    asked for, if there is somebody to ask.

    \b
      audit-env organisms import ./my-model --id mine/base --licence MIT --about "Small models of mine."
      audit-env organisms import ./my-adapter --id mine/flattery.transcripts.none --quirk flattery \\
          --recipe transcripts --licence MIT
      audit-env organisms import ./my-control --id mine/sham.transcripts.none --sham --recipe transcripts \\
          --licence MIT

    A game does not count misses of an organism whose quirk was never measured: the command ends with how to measure.

    --json prints {"card", "folder", "measure"}: the card that was written, where, and the command that measures it,
    null where there is no quirk.
    """  # noqa: D301
    from audit_env.catalog.importing import Particulars, bring_in, form_of

    form = form_of(folder)
    if quirk and sham:
        raise click.UsageError("Give --quirk or --sham, not both.")
    if sham and form == "model":
        raise click.UsageError("--sham is for adapters: a whole model becomes a base.")
    if form == "adapter" and not (quirk or sham):
        quirk = _asked("--quirk (or --sham)", "Quirk (empty for a sham)", default="") or None
    told = Particulars(
        id=organism_id or _asked("--id", "Id (family/name)"),
        licence=licence or _asked("--licence", "Licence"),
        quirk=quirk,
        base=base,
        kind=kind,
        instil=recipe,
        conceal=conceal,
        steps=steps,
        quirk_share=quirk_share,
        seed=seed,
        canaries=canaries,
        notes=notes,
        about=about,
    )
    card = bring_in(catalog, folder, told)
    where = str(catalog.root / card.id)
    measure = MEASURE.format(card.id) if card.quirk else None
    if as_json:
        print_json({"card": card.model_dump(mode="json"), "folder": where, "measure": measure})
        return
    click.echo(f"{card.id} is in {where} ({card.standing}).")
    if measure:
        click.echo(f"Its strength is not measured yet; run  {measure}")


def _asked(option: str, question: str, default: str | None = None) -> str:
    """What a person says who was asked; where nobody is there, wrong usage."""
    if not sys.stdin.isatty():
        raise click.UsageError(f"Give {option}.")
    return str(click.prompt(question, default=default, show_default=False))


def _end(faults: list[str]) -> None:
    """Name the faults, and end with status 1 if there are any."""
    if complain(faults):
        raise SystemExit(1)
